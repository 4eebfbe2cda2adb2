package policy

import (
	"errors"

	"hopgate/token"
)

// Reason is a stable word for why a request fared as it did. It is the last
// part of a problem document's type, a label of the metrics, a field of the
// log, and what a policy test expects. The set is closed: Reasons lists it.
type Reason string

// The reasons, in the order of the request's way.
const (
	Allowed          Reason = "allowed"
	AllowedAnonymous Reason = "allowed_anonymous"
	WebhookAccepted  Reason = "webhook_accepted"

	RequestMalformed    Reason = "request_malformed"
	TargetNotCanonical  Reason = "target_not_canonical"
	TargetTooLong       Reason = "target_too_long"
	HeaderTooLarge      Reason = "header_too_large"
	BodyTooLarge        Reason = "body_too_large"
	BodyMalformed       Reason = "body_malformed"
	RequestTimeout      Reason = "request_timeout"
	MethodNotSupported  Reason = "method_not_supported"
	ParameterDuplicated Reason = "parameter_duplicated"

	WebhookUnverified Reason = "webhook_unverified"

	RouteNotFound    Reason = "route_not_found"
	MethodNotAllowed Reason = "method_not_allowed"
	OriginNotAllowed Reason = "origin_not_allowed"

	TokenMissing            Reason = "token_missing"
	TokenMalformed          Reason = "token_malformed"
	TokenExpired            Reason = "token_expired"
	TokenNotYetValid        Reason = "token_not_yet_valid" //nolint:gosec // a word, no credential
	TokenTooOld             Reason = "token_too_old"
	ClaimMissing            Reason = "claim_missing"
	SignatureInvalid        Reason = "signature_invalid"
	KeyUnknown              Reason = "key_unknown"
	AlgorithmNotAllowed     Reason = "algorithm_not_allowed"
	TokenTypeNotAllowed     Reason = "token_type_not_allowed"
	IssuerUnknown           Reason = "issuer_unknown"
	AudienceMismatch        Reason = "audience_mismatch"
	AuthorizedPartyMismatch Reason = "authorized_party_mismatch"
	SessionPending          Reason = "session_pending"
	KeysUnavailable         Reason = "keys_unavailable"

	CrossSiteRequest Reason = "cross_site_request"
	RuleDenied       Reason = "rule_denied"
	RuleFailed       Reason = "rule_failed"
	RateLimited      Reason = "rate_limited"

	UpstreamUnavailable  Reason = "upstream_unavailable"
	UpstreamTimeout      Reason = "upstream_timeout"
	UpstreamInvalid      Reason = "upstream_invalid"
	UpstreamTooLarge     Reason = "upstream_too_large"
	ResponseUnfilterable Reason = "response_unfilterable"
	Overloaded           Reason = "overloaded"
	ConnectionOutdated   Reason = "connection_outdated"
	NotCached            Reason = "not_cached"
	ClientGone           Reason = "client_gone" // nobody reads the answer: for log and metrics
	ShuttingDown         Reason = "shutting_down"
	InternalError        Reason = "internal_error"
)

// Challenge is the error code of a WWW-Authenticate: Bearer challenge (RFC
// 6750 section 3.1).
type Challenge string

// The challenges. NoChallenge sends no WWW-Authenticate field,
// BareChallenge one without an error code: no credentials were sent.
// SignedWebhook is none of Bearer's: what is asked for is a signature.
const (
	NoChallenge       Challenge = ""
	BareChallenge     Challenge = "bare"
	InvalidRequest    Challenge = "invalid_request"
	InvalidToken      Challenge = "invalid_token"
	InsufficientScope Challenge = "insufficient_scope"
	SignedWebhook     Challenge = "webhook"
)

// Outcome is how a Reason looks to the caller.
type Outcome struct {
	Status    int       // HTTP status code (RFC 9110 section 15)
	Title     string    // title of the problem document (RFC 9457)
	Detail    string    // what the caller can do about it; never says which rule, claim or key
	Challenge Challenge // WWW-Authenticate, for 401 and 403
	Close     bool      // the connection is closed: its framing can't be trusted any more
}

// row is a line of the table of reasons.
type row struct {
	reason    Reason
	status    int
	challenge Challenge
	close     bool
	title     string
	detail    string
}

// table is the one place that says how a reason looks to the caller, in the
// order of the request's way. Titles go into quoted strings of header fields,
// so they have neither quotes nor backslashes.
//
// A request whose end can't be told, or whose body was left unread, closes
// the connection. Where the token was right but not enough, the challenge is
// insufficient_scope (RFC 6750 section 3.1).
var table = []row{
	{Allowed, 200, NoChallenge, false,
		"Allowed", "A rule of the route allowed the request."},
	{AllowedAnonymous, 200, NoChallenge, false,
		"Allowed for anybody", "The route asks for no token."},
	{WebhookAccepted, 204, NoChallenge, false,
		"Event received", "The event's signature is right, and what it names was forgotten."},

	{RequestMalformed, 400, NoChallenge, true,
		"Malformed request", "The request is not well-formed HTTP, or repeats a field that must be sent once. Check how your client builds it."},
	{TargetNotCanonical, 400, NoChallenge, false,
		"Ambiguous request target", "Send the path and the query in their normal form: no dot segments, no empty segments, no encoded slashes or unreserved characters, only well-formed percent-encoding."},
	{TargetTooLong, 414, NoChallenge, true,
		"Request target too long", "Send a shorter path and query."},
	{HeaderTooLarge, 431, NoChallenge, true,
		"Request head too large", "Send fewer or shorter header fields and cookies."},
	{BodyTooLarge, 413, NoChallenge, true,
		"Request body too large", "Send a smaller body."},
	{BodyMalformed, 400, NoChallenge, false,
		"Malformed request body", "Send one JSON document with Content-Type application/json, in UTF-8, without repeated names and not too deeply nested."},
	{RequestTimeout, 408, NoChallenge, true,
		"Request timed out", "The request did not arrive in time. Send it again, faster."},
	{MethodNotSupported, 501, NoChallenge, true,
		"Method not supported", "This gateway has no CONNECT and no TRACE."},
	{ParameterDuplicated, 400, NoChallenge, false,
		"Repeated query parameter", "Send each query parameter once, and under its exact name."},

	{WebhookUnverified, 401, SignedWebhook, false,
		"Event not verified", "Send events as they were signed, without delay, and check that the signing secret and the clock are right."},

	{RouteNotFound, 404, NoChallenge, false,
		"No such resource", "Nothing is offered at this address. Check host and path."},
	{MethodNotAllowed, 405, NoChallenge, false,
		"Method not allowed", "This address has other methods; the Allow field lists them."},
	{OriginNotAllowed, 403, NoChallenge, false,
		"Origin not allowed", "Pages of this origin may not call this address."},

	{TokenMissing, 401, BareChallenge, false,
		"Sign-in required", "Send a session token."},
	{TokenMalformed, 401, InvalidToken, false,
		"Malformed token", "Send the session token exactly as it was issued."},
	{TokenExpired, 401, InvalidToken, false,
		"Token expired", "Get a new session token and send the request again."},
	{TokenNotYetValid, 401, InvalidToken, false,
		"Token not valid yet", "Wait until the session token is valid; check the clock of what issued it."},
	{TokenTooOld, 401, InvalidToken, false,
		"Token too old", "Sign in again to get a new session token."},
	{ClaimMissing, 401, InvalidToken, false,
		"Token incomplete", "The session token lacks something that is needed here. Get one from the right issuer."},
	{SignatureInvalid, 401, InvalidToken, false,
		"Token not genuine", "The session token was changed or was not issued here. Get a new one."},
	{KeyUnknown, 401, InvalidToken, false,
		"Token not verifiable", "The session token can't be verified. Get a new one."},
	{AlgorithmNotAllowed, 401, InvalidToken, false,
		"Token not accepted", "The session token is not of a kind that is accepted here. Get one from the right issuer."},
	{TokenTypeNotAllowed, 401, InvalidToken, false,
		"Token type not accepted", "Send a session token, not a token for another purpose."},
	{IssuerUnknown, 401, InvalidToken, false,
		"Token from elsewhere", "The session token is of an issuer that is not accepted here. Sign in where this service says."},
	{AudienceMismatch, 401, InvalidToken, false,
		"Token for another audience", "The session token was issued for another service. Get one for this service."},
	{AuthorizedPartyMismatch, 401, InvalidToken, false,
		"Token of another application", "The session token was issued to another application. Get one from this application's sign-in."},
	{SessionPending, 401, InvalidToken, false,
		"Sign-in not finished", "Finish the steps that the sign-in still asks for, then send the request again."},
	{KeysUnavailable, 503, NoChallenge, false,
		"Tokens can't be verified now", "The session token can't be verified at the moment. Send the request again shortly."},

	{CrossSiteRequest, 403, NoChallenge, false,
		"Cross-site request", "A request with a session cookie must come from the application's own pages. Other clients send the token in the Authorization field."},
	{RuleDenied, 403, InsufficientScope, false,
		"Not allowed", "You may not do this. Ask for access, or switch to an account or organization that has it."},
	{RuleFailed, 403, InsufficientScope, false,
		"Not allowed", "Whether you may do this can't be decided from this request. Check that it is complete, and that you are signed in to the right account and organization."},
	{RateLimited, 429, NoChallenge, false,
		"Too many requests", "Wait for as many seconds as the Retry-After field says, then send the request again."},

	{UpstreamUnavailable, 503, NoChallenge, false,
		"Service unavailable", "The service can't be reached at the moment. Send the request again shortly."},
	{UpstreamTimeout, 504, NoChallenge, false,
		"Service too slow", "The service did not answer in time. The request may have taken effect all the same."},
	{UpstreamInvalid, 502, NoChallenge, false,
		"Bad answer from the service", "The service gave an answer that is not well-formed. Send the request again later."},
	{UpstreamTooLarge, 502, NoChallenge, false,
		"Answer too large", "The service gave an answer that is too large. Ask for less at once."},
	{ResponseUnfilterable, 502, NoChallenge, false,
		"Answer withheld", "The service gave an answer that can't be passed on safely. Send the request again later."},
	{Overloaded, 503, NoChallenge, false,
		"Overloaded", "Too much is going on at the moment. Send the request again shortly."},
	{ConnectionOutdated, 421, NoChallenge, true,
		"New connection needed", "The client certificates that are accepted have changed. Send the request again on a new connection."},
	{NotCached, 504, NoChallenge, false,
		"Not cached", "The request asks for a stored answer (only-if-cached), and there is none. Leave that out to get a new one."},
	{ClientGone, 499, NoChallenge, true,
		"Client closed the connection", "The connection was closed before the answer came."},
	{ShuttingDown, 503, NoChallenge, true,
		"Shutting down", "This instance is going down. Send the request again; another one answers."},
	{InternalError, 500, NoChallenge, false,
		"Internal error", "Something went wrong here. Send the request again, and report its request id if it goes wrong again."},
}

var outcomes = func() map[Reason]Outcome {
	m := make(map[Reason]Outcome, len(table))
	for _, r := range table {
		m[r.reason] = Outcome{r.status, r.title, r.detail, r.challenge, r.close}
	}
	return m
}()

// Reasons lists every reason, in the order of the request's way.
func Reasons() []Reason {
	list := make([]Reason, len(table))
	for i, r := range table {
		list[i] = r.reason
	}
	return list
}

// Outcome tells how the reason looks to the caller. A word that is no reason
// looks like [InternalError].
func (r Reason) Outcome() Outcome {
	if o, ok := outcomes[r]; ok {
		return o
	}
	return outcomes[InternalError]
}

// Allowed tells whether the reason lets a request go on.
func (r Reason) Allowed() bool {
	return r == Allowed || r == AllowedAnonymous || r == WebhookAccepted
}

// Error is why a request can't be decided on or made ready for the upstream.
// Its text says what is wrong in words of the configuration; it never holds
// anything of the request.
type Error struct {
	Reason Reason
	text   string
}

func (e *Error) Error() string { return e.text }

// failure makes the error of an expression that can't be evaluated.
func failure(text string) *Error { return &Error{RuleFailed, text} }

// ReasonOf gives the reason of an error: that of an [*Error] or of a
// [*token.Fault] in it, else [InternalError], also for nil.
func ReasonOf(err error) Reason {
	var own *Error
	if errors.As(err, &own) {
		return own.Reason
	}
	var fault *token.Fault
	if errors.As(err, &fault) {
		if _, ok := outcomes[Reason(fault.Code)]; ok {
			return Reason(fault.Code)
		}
	}
	return InternalError
}
