package cli

import (
	"context"
	"fmt"
	"strings"
	"time"

	"hopgate/admin"
	"hopgate/proxy"
)

// askRunning asks a running gate about the question.
func (q *question) askRunning(ctx context.Context, address string) (*proxy.Inspection, error) {
	ask := admin.InspectRequest{
		Method: q.method, URL: q.scheme + "://" + q.authority + q.target,
		Headers: map[string]string{}, Token: q.token, ClientIP: q.client.String(),
	}
	for _, f := range q.fields {
		name := strings.ToLower(f.name)
		if _, twice := ask.Headers[name]; twice {
			return nil, unusable("-H has %s twice; a running gate can be asked about each field once", printable(f.name))
		}
		ask.Headers[name] = f.value
	}
	answer := new(proxy.Inspection)
	if err := askAdmin(ctx, address, "/cache/inspect", ask, answer); err != nil {
		return nil, err
	}
	return answer, nil
}

// writeRunning writes what the running gate says.
func (x *explanation) writeRunning(b *strings.Builder, section func(string, ...any)) {
	in := x.Running
	if in == nil {
		return
	}
	line := func(name, text string) { fmt.Fprintf(b, "  %-12s %s\n", name, printable(text)) }
	section("cache of the running gate (generation %d)", in.Generation)
	d := in.Decision
	decision := string(d.Reason)
	if d.Status != 0 {
		decision += fmt.Sprintf(", answered %d", d.Status)
	}
	if in.Route != "" {
		decision += ", by route " + in.Route
	}
	line(d.Effect, decision)
	c := in.Cache
	if c == nil {
		line("not cached", map[bool]string{true: "the route keeps no answers", false: "the request goes no further"}[d.Effect == "allow" && d.Status == 0])
		return
	}
	if c.Key != "" {
		line("key", c.Key)
		line("tags", strings.Join(c.Tags, ", "))
	}
	line(c.State, c.Why)
	for _, a := range c.Found {
		what := fmt.Sprintf("%d, %d bytes of memory, %s old", a.Status, a.Bytes, seconds(a.Age))
		if a.Selected {
			what += ", selected by this request's fields"
		}
		if len(a.Vary) > 0 {
			what += ", varies by " + strings.Join(a.Vary, ", ")
		}
		if a.Purged != "" {
			what += ", purged (" + a.Purged + ")"
		}
		line("stored", what)
	}
}

func seconds(s float64) string {
	return time.Duration(s * float64(time.Second)).Round(10 * time.Millisecond).String()
}
