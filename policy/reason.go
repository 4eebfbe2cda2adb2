package policy

// Reason is a stable word for why a request fared as it did. It is the last
// part of a problem document's type, a label of the metrics, a field of the
// log, and what a policy test expects. The set is closed: Reasons lists it.
type Reason string

// The reasons, in the order of the request's way.
const (
	Allowed          Reason = "allowed"
	AllowedAnonymous Reason = "allowed_anonymous"

	RequestMalformed    Reason = "request_malformed"
	TargetNotCanonical  Reason = "target_not_canonical"
	TargetTooLong       Reason = "target_too_long"
	HeaderTooLarge      Reason = "header_too_large"
	BodyTooLarge        Reason = "body_too_large"
	BodyMalformed       Reason = "body_malformed"
	RequestTimeout      Reason = "request_timeout"
	MethodNotSupported  Reason = "method_not_supported"
	ParameterDuplicated Reason = "parameter_duplicated"

	RouteNotFound    Reason = "route_not_found"
	MethodNotAllowed Reason = "method_not_allowed"
	OriginNotAllowed Reason = "origin_not_allowed"

	TokenMissing            Reason = "token_missing"
	TokenMalformed          Reason = "token_malformed"
	TokenExpired            Reason = "token_expired"
	TokenNotYetValid        Reason = "token_not_yet_valid"
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
	ShuttingDown         Reason = "shutting_down"
	InternalError        Reason = "internal_error"
)

// Challenge is the error code of a WWW-Authenticate: Bearer challenge (RFC
// 6750 section 3.1).
type Challenge string

// The challenges. NoChallenge sends no WWW-Authenticate field,
// BareChallenge one without an error code: no credentials were sent.
const (
	NoChallenge       Challenge = ""
	BareChallenge     Challenge = "bare"
	InvalidRequest    Challenge = "invalid_request"
	InvalidToken      Challenge = "invalid_token"
	InsufficientScope Challenge = "insufficient_scope"
)

// Outcome is how a Reason looks to the caller.
type Outcome struct {
	Status    int       // HTTP status code (RFC 9110 section 15)
	Title     string    // title of the problem document (RFC 9457)
	Detail    string    // what the caller can do about it; never says which rule, claim or key
	Challenge Challenge // WWW-Authenticate, for 401 and 403
	Close     bool      // the connection is closed: its framing can't be trusted any more
}
