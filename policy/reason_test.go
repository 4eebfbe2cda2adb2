package policy

import (
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	gotoken "go/token"
	"slices"
	"strings"
	"testing"

	"hopgate/token"
)

// declared reads the words of the declared reasons from the source, so that
// none can be left out of the table.
func declared(t *testing.T) []Reason {
	t.Helper()
	file, err := parser.ParseFile(gotoken.NewFileSet(), "reason.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	var list []Reason
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if ok && len(spec.Values) == 1 {
			if typ, ok := spec.Type.(*ast.Ident); ok && typ.Name == "Reason" {
				list = append(list, Reason(strings.Trim(spec.Values[0].(*ast.BasicLit).Value, `"`)))
			}
		}
		return true
	})
	return list
}

func TestReasonsAreClosed(t *testing.T) {
	if got, want := Reasons(), declared(t); !slices.Equal(got, want) {
		t.Errorf("the table has\n%s\nbut declared are\n%s", got, want)
	}
	if len(outcomes) != len(table) {
		t.Error("a reason stands in the table twice")
	}
}

func TestOutcomes(t *testing.T) {
	for _, r := range Reasons() {
		o := r.Outcome()
		switch {
		case strings.ContainsAny(o.Title, "\"\\\n\r") || o.Title == "":
			t.Errorf("%s: the title %q can't stand in a field", r, o.Title)
		case !strings.HasSuffix(o.Detail, "."):
			t.Errorf("%s: the detail %q is no sentence", r, o.Detail)
		case r.Allowed() != (o.Status < 300):
			t.Errorf("%s: allowed %t, status %d", r, r.Allowed(), o.Status)
		case (o.Challenge == InvalidToken || o.Challenge == BareChallenge || o.Challenge == SignedWebhook) != (o.Status == 401):
			t.Errorf("%s: status %d with challenge %q (RFC 6750 section 3.1, RFC 9110 section 11.6.1)", r, o.Status, o.Challenge)
		case o.Challenge == InsufficientScope && o.Status != 403:
			t.Errorf("%s: status %d with insufficient_scope", r, o.Status)
		case o.Challenge == BareChallenge && r != TokenMissing:
			t.Errorf("%s: a bare challenge, though a token was sent", r)
		}
		for _, word := range []string{"rule", "claim", "kid", "JWKS"} {
			if strings.Contains(strings.ToLower(o.Title+o.Detail), word) && !r.Allowed() {
				t.Errorf("%s tells the caller of a %s", r, word)
			}
		}
	}
	for r, close := range map[Reason]bool{RequestMalformed: true, BodyTooLarge: true, HeaderTooLarge: true, RequestTimeout: true, TokenMissing: false, RuleDenied: false, TargetNotCanonical: false} {
		if r.Outcome().Close != close {
			t.Errorf("%s: close is %t", r, !close)
		}
	}
	if Reason("no_such_reason").Outcome() != InternalError.Outcome() {
		t.Error("an unknown word does not look like an internal error")
	}
}

func TestReasonOf(t *testing.T) {
	for _, f := range []*token.Fault{
		token.ErrMissing, token.ErrMalformed, token.ErrAlgorithm, token.ErrType, token.ErrIssuer, token.ErrKeyUnknown,
		token.ErrKeysUnavailable, token.ErrSignature, token.ErrExpired, token.ErrNotYetValid, token.ErrTooOld,
		token.ErrClaimMissing, token.ErrAudience, token.ErrParty, token.ErrPending, token.ErrOverloaded,
	} {
		if got := ReasonOf(fmt.Errorf("wrapped: %w", f)); got != Reason(f.Code) {
			t.Errorf("%s gives %s", f.Code, got)
		}
	}
	for err, want := range map[error]Reason{
		errors.New("other"):                  InternalError,
		nil:                                  InternalError,
		&token.Fault{Code: "no_such_reason"}: InternalError,
		&token.Fault{Code: ""}:               InternalError,
		fmt.Errorf("x: %w", errDuplicated):   ParameterDuplicated,
		errEvaluate:                          RuleFailed,
	} {
		if got := ReasonOf(err); got != want {
			t.Errorf("%v gives %s, want %s", err, got, want)
		}
	}
}

// TestReasonsDocUpToDate keeps the table of reasons in the documentation.
func TestReasonsDocUpToDate(t *testing.T) {
	var b strings.Builder
	b.WriteString("\n\n| reason | status | what the caller is told |\n|---|---|---|\n")
	for _, r := range Reasons() {
		o := r.Outcome()
		if r.Allowed() {
			fmt.Fprintf(&b, "| `%s` | | %s |\n", r, o.Detail)
			continue
		}
		status := fmt.Sprint(o.Status)
		switch o.Challenge {
		case NoChallenge:
		case SignedWebhook:
		case BareChallenge:
			status += " `Bearer`"
		default:
			status += " `" + string(o.Challenge) + "`"
		}
		if o.Close {
			status += ", closes"
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s. %s |\n", r, status, o.Title, o.Detail)
	}
	b.WriteString("\n")
	golden(t, "../docs/policy.md", "<!-- reasons: generated, see `make generate` -->", "<!-- /reasons -->", b.String())
}
