package token

// Fault is a reason why no principal could be made of a request's token.
// Code is a stable word: the policy package's Reason of the same name. The
// text never holds any part of the token.
type Fault struct { //nolint:errname // the design and its readers call it a fault
	Code string
	text string
}

func (f *Fault) Error() string { return f.text }

// The faults. Verification wraps them with details for explanations; test
// for them with errors.Is, and get at the code with errors.As.
var (
	ErrMissing         = &Fault{"token_missing", "the request has no token"}
	ErrMalformed       = &Fault{"token_malformed", "the token is not a well-formed compact JWS"}
	ErrAlgorithm       = &Fault{"algorithm_not_allowed", "the token's algorithm is not allowed"}
	ErrType            = &Fault{"token_type_not_allowed", "the token's type is not allowed"}
	ErrIssuer          = &Fault{"issuer_unknown", "the token's issuer is not accepted here"}
	ErrKeyUnknown      = &Fault{"key_unknown", "the token's key is not in the issuer's key set"}
	ErrKeysUnavailable = &Fault{"keys_unavailable", "the issuer's keys are not available"}
	ErrSignature       = &Fault{"signature_invalid", "the token's signature does not verify"}
	ErrExpired         = &Fault{"token_expired", "the token has expired"}
	ErrNotYetValid     = &Fault{"token_not_yet_valid", "the token is not valid yet"}
	ErrTooOld          = &Fault{"token_too_old", "the token was issued too long ago"}
	ErrClaimMissing    = &Fault{"claim_missing", "the token lacks a required claim"}
	ErrAudience        = &Fault{"audience_mismatch", "the token is for another audience"}
	ErrParty           = &Fault{"authorized_party_mismatch", "the token was issued to another party"}
	ErrOverloaded      = &Fault{"overloaded", "too many new tokens wait for their signature to be checked"}
	ErrPending         = &Fault{"session_pending", "the session is pending"}
)
