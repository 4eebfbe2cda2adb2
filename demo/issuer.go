package demo

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"strings"
	"sync"
	"time"

	"hopgate/token"
)

const (
	algorithm  = "RS256" // as Clerk signs
	defaultTTL = time.Hour
	maxTTL     = 24 * time.Hour
	skew       = time.Minute // an old key stays this much longer than its tokens

	// appOrigin is the front end that tokens are issued to (azp) and whose
	// pages may read the gate's answers.
	appOrigin = "http://localhost:3000"
)

// Issuer is a small OpenID issuer that mints session tokens in the shape of
// Clerk's version 2. It is for demonstrations and tests: whoever can reach
// it gets any token. All methods may be called concurrently.
type Issuer struct {
	url string
	now func() time.Time

	mu   sync.Mutex
	keys []*issuerKey // the first one signs
}

type issuerKey struct {
	signer *token.Signer
	until  time.Time // expiry of the last token it signed
}

// NewIssuer makes an issuer whose iss and base address is url, with one key.
func NewIssuer(url string) (*Issuer, error) {
	i := &Issuer{url: url, now: time.Now}
	return i, i.Rotate()
}

// URL gives the iss claim, which is also the base address.
func (i *Issuer) URL() string { return i.url }

// Rotate makes a new key that signs from now on. Older keys stay published
// until the last token they signed has expired.
func (i *Issuer) Rotate() error {
	signer, err := token.NewSigner(algorithm)
	if err != nil {
		return fmt.Errorf("can't make a signing key: %w", err)
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	i.keys = append([]*issuerKey{{signer: signer}}, i.published()...)
	return nil
}

// published drops the keys that no living token needs.
func (i *Issuer) published() []*issuerKey {
	var keep []*issuerKey
	for n, k := range i.keys {
		if n == 0 || i.now().Before(k.until.Add(skew)) {
			keep = append(keep, k)
		}
	}
	return keep
}

// JWKS gives the published keys as a JWK Set (RFC 7517).
func (i *Issuer) JWKS() []byte {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.keys = i.published()
	var others []*token.Signer
	for _, k := range i.keys[1:] {
		others = append(others, k.signer)
	}
	return i.keys[0].signer.PublicJWKS(others...)
}

// claims gives those of a session token (Clerk's version 2). Permissions are
// packed: per names them, fea lists the features, and the n-th number of fpm
// says which permissions the organization role has on the n-th feature, the
// first of per being bit 0.
func (i *Issuer) claims(p person, ttl time.Duration) map[string]any {
	now := i.now()
	return map[string]any{
		"iss": i.url,
		"sub": p.user,
		"sid": "sess_" + strings.TrimPrefix(p.user, "user_"),
		"azp": appOrigin,
		"iat": now.Unix(),
		"nbf": now.Add(-10 * time.Second).Unix(),
		"exp": now.Add(ttl).Unix(),
		"jti": rand.Text(),
		"v":   2,
		"sts": "active",
		"fva": []int{0, -1},
		"pla": "u:free,o:pro",
		"fea": "o:members,o:billing",
		"o": map[string]any{
			"id":  p.org,
			"slg": strings.TrimPrefix(p.org, "org_"),
			"rol": p.role,
			"per": "read,manage",
			"fpm": p.fpm,
		},
	}
}

// The kinds of tokens that Mint makes. All but Valid are refused by a gate
// that works.
const (
	Valid       = "valid"
	Expired     = "expired"
	NotYetValid = "not_yet_valid"
	WrongIssuer = "wrong_issuer" // another iss, signed by our key
	WrongParty  = "wrong_party"  // azp of another front end
	Pending     = "pending"      // sign-in not finished
	UnknownKey  = "unknown_key"  // signed by a key that is not published
	Tampered    = "tampered"     // a valid token whose claims were changed: carol's signature, this user's name
	Unsigned    = "unsigned"     // alg none
)

var errUnknownUser = errors.New("no such user; there are alice, bob and carol")

// Mint makes a token for alice, bob or carol that lives for ttl.
func (i *Issuer) Mint(user, kind string, ttl time.Duration) (string, error) {
	p, ok := people[user]
	if !ok {
		return "", errUnknownUser
	}
	claims := i.claims(p, ttl)
	switch kind {
	case "", Valid:
	case Expired:
		claims["exp"] = i.now().Add(-time.Hour).Unix()
		claims["iat"] = i.now().Add(-2 * time.Hour).Unix()
		claims["nbf"] = claims["iat"]
	case NotYetValid:
		claims["nbf"] = i.now().Add(30 * time.Minute).Unix()
	case WrongIssuer:
		claims["iss"] = "https://issuer.evil.example"
	case WrongParty:
		claims["azp"] = "https://evil.example"
	case Pending:
		claims["sts"] = "pending"
	case UnknownKey:
		stranger, err := token.NewSigner(algorithm)
		if err != nil {
			return "", fmt.Errorf("can't make a signing key: %w", err)
		}
		return stranger.Sign(claims)
	case Tampered:
		theirs := maps.Clone(claims)
		theirs["sub"] = people["carol"].user
		if user == "carol" {
			theirs["sub"] = people["bob"].user
		}
		signed, err := i.sign(theirs, ttl)
		if err != nil {
			return "", err
		}
		return replacePayload(signed, claims)
	case Unsigned:
		payload, err := json.Marshal(claims)
		if err != nil {
			return "", fmt.Errorf("can't encode the claims: %w", err)
		}
		return encode([]byte(`{"alg":"none","typ":"JWT"}`)) + "." + encode(payload) + ".", nil
	default:
		return "", fmt.Errorf("no such kind of token: %.32q", kind)
	}
	return i.sign(claims, ttl)
}

func (i *Issuer) sign(claims map[string]any, ttl time.Duration) (string, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	k := i.keys[0]
	if until := i.now().Add(ttl); until.After(k.until) {
		k.until = until
	}
	return k.signer.Sign(claims)
}

func replacePayload(signed string, claims map[string]any) (string, error) {
	payload, err := json.Marshal(claims)
	if err != nil {
		return "", fmt.Errorf("can't encode the claims: %w", err)
	}
	parts := strings.Split(signed, ".")
	return parts[0] + "." + encode(payload) + "." + parts[2], nil
}

func encode(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

// register adds the issuer's paths to mux.
func (i *Issuer) register(mux *http.ServeMux) {
	mux.HandleFunc("GET /.well-known/openid-configuration", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Cache-Control", "public, max-age=300")
		writeJSON(w, http.StatusOK, map[string]any{
			"issuer":                                i.url,
			"jwks_uri":                              i.url + "/.well-known/jwks.json",
			"token_endpoint":                        i.url + "/token",
			"response_types_supported":              []string{"code"},
			"subject_types_supported":               []string{"public"},
			"id_token_signing_alg_values_supported": []string{algorithm},
		})
	})
	mux.HandleFunc("GET /.well-known/jwks.json", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Cache-Control", "public, max-age=60")
		w.Header().Set("Content-Type", "application/jwk-set+json")
		w.Write(i.JWKS()) //nolint:errcheck // the client left
	})
	mint := func(w http.ResponseWriter, r *http.Request) {
		ttl := defaultTTL
		if text := r.FormValue("ttl"); text != "" {
			var err error
			if ttl, err = time.ParseDuration(text); err != nil || ttl <= 0 || ttl > maxTTL {
				http.Error(w, "ttl must be a duration up to 24h, such as 1h", http.StatusBadRequest)
				return
			}
		}
		signed, err := i.Mint(r.FormValue("user"), r.FormValue("kind"), ttl)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		w.Header().Set("Cache-Control", "no-store")
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		fmt.Fprintln(w, signed) //nolint:errcheck // the client left
	}
	mux.HandleFunc("GET /token", mint)
	mux.HandleFunc("POST /token", mint)
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	body, err := json.Marshal(v)
	if err != nil {
		http.Error(w, "internal error", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	w.Write(append(body, '\n')) //nolint:errcheck // the client left
}
