package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"hopgate/token"
)

func newToken(s Streams) *cobra.Command {
	var o tokenOptions
	c := &cobra.Command{
		Use:   "token",
		Short: "Mint a development token from a local key",
		Long: `Signs a token with a private key of yours, for development and tests. The key
is a JWK or PEM file; --new makes one. --jwks writes the public key set that an
issuer of the configuration reads with jwks: {file: ...}.

iat, and exp from --ttl, are filled in where the claims lack them.`,
		Example: `  hopgate token --key dev.jwk --new --jwks dev.jwks.json
  hopgate token --key dev.jwk --issuer https://issuer.example.test --subject alice
  hopgate token --key dev.jwk --claims '{"iss":"https://issuer.example.test","sub":"alice","org_id":"acme"}'
  hopgate token --key dev.jwk --claims @claims.json --ttl 1h`,
		Args: noArgs,
		RunE: func(*cobra.Command, []string) error { return mintToken(s, o) },
	}
	f := c.Flags()
	f.StringVar(&o.key, "key", "", "private key: a JWK or PEM file (required)")
	f.BoolVar(&o.create, "new", false, "make the key, where the file is not there yet")
	f.StringVar(&o.alg, "alg", "ES256", "algorithm of a new key: RS256, PS256, ES256, ES384, ES512, EdDSA, ...")
	f.StringVar(&o.jwks, "jwks", "", "write the public key set to this file")
	f.StringVar(&o.claims, "claims", "", "claims as JSON, or @FILE, or @- for standard input")
	f.StringVar(&o.issuer, "issuer", "", "iss claim")
	f.StringVar(&o.subject, "subject", "", "sub claim")
	f.StringArrayVar(&o.audience, "audience", nil, "aud claim; may be repeated")
	f.DurationVar(&o.ttl, "ttl", time.Hour, "time until exp")
	return c
}

type tokenOptions struct {
	key, alg, jwks, claims, issuer, subject string
	audience                                []string
	create                                  bool
	ttl                                     time.Duration
}

func mintToken(s Streams, o tokenOptions) error {
	if o.key == "" {
		return unusable("--key is missing; it should name a private key, a JWK or PEM file, and --new makes one that is not there yet")
	}
	signer, err := loadSigner(o)
	if err != nil {
		return err
	}
	if o.jwks != "" {
		if err := os.WriteFile(o.jwks, append(signer.PublicJWKS(), '\n'), 0o644); err != nil { //nolint:gosec // public keys
			return unusable("cannot write the key set: %v", err)
		}
	}
	if o.claims == "" && o.issuer == "" && o.subject == "" && len(o.audience) == 0 {
		if o.jwks == "" && !o.create {
			return unusable("no claims given; use --claims, or --issuer and --subject")
		}
		s.complain("key %s is in %s\n", signer.KeyID(), o.key)
		return nil
	}
	claims := map[string]any{}
	if o.claims != "" {
		text := []byte(o.claims)
		if name, isFile := strings.CutPrefix(o.claims, "@"); isFile {
			if text, err = readFileOrStdin(s, name); err != nil {
				return unusable("cannot read the claims: %v", err)
			}
		}
		d := json.NewDecoder(strings.NewReader(string(text)))
		d.UseNumber()
		if err := d.Decode(&claims); err != nil {
			return unusable("the claims are not a JSON object: %v", err)
		}
	}
	set := func(name string, value any) {
		if _, given := claims[name]; !given {
			claims[name] = value
		}
	}
	if o.issuer != "" {
		claims["iss"] = o.issuer
	}
	if o.subject != "" {
		claims["sub"] = o.subject
	}
	switch len(o.audience) {
	case 0:
	case 1:
		claims["aud"] = o.audience[0]
	default:
		claims["aud"] = o.audience
	}
	now := time.Now()
	set("iat", now.Unix())
	set("exp", now.Add(o.ttl).Unix())
	signed, err := signer.Sign(claims)
	if err != nil {
		return failed("cannot sign: %v", err)
	}
	_, err = fmt.Fprintln(s.Out, signed)
	return err
}

// loadSigner reads the private key, or makes it.
func loadSigner(o tokenOptions) (*token.Signer, error) {
	b, err := os.ReadFile(o.key)
	switch {
	case err == nil:
		signer, err := token.ParseSigner(b)
		if err != nil {
			return nil, unusable("%s: %v", o.key, err)
		}
		return signer, nil
	case !errors.Is(err, fs.ErrNotExist):
		return nil, unusable("cannot read the key: %v", err)
	case !o.create:
		return nil, unusable("there is no key %s; make one with --new", o.key)
	}
	signer, err := token.NewSigner(o.alg)
	if err != nil {
		return nil, unusable("%v", err)
	}
	// O_EXCL: a key that appeared meanwhile is not overwritten.
	f, err := os.OpenFile(o.key, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, unusable("cannot write the key: %v", err)
	}
	_, err = f.Write(append(signer.PrivateJWK(), '\n'))
	if err = errors.Join(err, f.Close()); err != nil {
		return nil, unusable("cannot write the key: %v", err)
	}
	return signer, nil
}
