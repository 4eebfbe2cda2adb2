package cli

import (
	"context"
	"fmt"
	"net/netip"

	"hopgate/admin"
	"hopgate/proxy"
)

// What the admin listener asks the gate.

func (r *running) purge(p admin.PurgeRequest) error {
	if err := r.gate.Purge(proxy.Purge(p)); err != nil {
		return err
	}
	r.log.Info("purged", "by", "admin", "all", p.All, "soft", p.Soft, "routes", p.Routes, "keys", len(p.Keys),
		"principals", len(p.Principals), "organizations", len(p.Organizations), "sessions", len(p.Sessions),
		"tags", len(p.Tags), "uris", len(p.URIs))
	return nil
}

func (r *running) inspect(ctx context.Context, q admin.InspectRequest) (any, error) {
	question := proxy.Question{Method: q.Method, URL: q.URL, Token: q.Token}
	for _, name := range sortedKeys(q.Headers) {
		question.Fields = append(question.Fields, [2]string{name, q.Headers[name]})
	}
	if q.ClientIP != "" {
		var err error
		if question.ClientIP, err = netip.ParseAddr(q.ClientIP); err != nil {
			return nil, fmt.Errorf("client_ip is %.64q; it should be an address such as 192.0.2.1", q.ClientIP)
		}
	}
	return r.gate.Inspect(ctx, question)
}
