package proxy

import (
	"fmt"
	"net/http"
	"testing"
)

// TestListedFieldIsReadByNobody lists in Connection a field that a rule reads:
// it does not go upstream, so that nothing may be decided by it either.
func TestListedFieldIsReadByNobody(t *testing.T) {
	w := newWorld(t, settings(`
routes:
  - id: tenant
    match: {path: /data}
    allow: request.headers["x-tenant"] == principal.org_id
    upstream: backend
`))
	w.backend.will(func(rw http.ResponseWriter, r *http.Request) {
		tenant := r.Header.Get("X-Tenant")
		if tenant == "" {
			tenant = "ALL TENANTS"
		}
		fmt.Fprint(rw, tenant)
	})
	got := w.do("GET", "/data", "", w.bearer(claims{"sub": "u", "org_id": "acme"}), [2]string{"X-Tenant", "acme"}, [2]string{"Connection", "X-Tenant"})
	t.Logf("%d %s", got.status, got.body)
	if got.status == 200 && got.body != "acme" {
		t.Errorf("authorized for tenant acme, answered for %q", got.body)
	}
}

// TestListedFieldPoisonsNoKey does so with a field of vary_on.
func TestListedFieldPoisonsNoKey(t *testing.T) {
	w := newWorld(t, settings(`
routes:
  - id: shop
    match: {path: /shop}
    anonymous: true
    upstream: backend
    cache: {ttl: 1m, scope: public, vary_on: [X-Tenant]}
`))
	w.backend.will(func(rw http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(rw, "tenant=%q", r.Header.Get("X-Tenant"))
	})
	a := w.do("GET", "/shop", "", [2]string{"X-Tenant", "acme"}, [2]string{"Connection", "X-Tenant"})
	b := w.do("GET", "/shop", "", [2]string{"X-Tenant", "acme"})
	t.Logf("attacker: %s (%s)\nvictim: %s (%s)", a.body, a.header.Get("Cache-Status"), b.body, b.header.Get("Cache-Status"))
	if b.body != `tenant="acme"` {
		t.Errorf("the victim got %s", b.body)
	}
}

// TestListedFieldPoisonsNoVariant does so with a field of Vary.
func TestListedFieldPoisonsNoVariant(t *testing.T) {
	w := newWorld(t, settings(`
routes:
  - id: page
    match: {path: /page}
    allow: "true"
    upstream: backend
    cache: {ttl: 1m, scope: org}
`))
	w.backend.will(func(rw http.ResponseWriter, r *http.Request) {
		rw.Header().Set("Vary", "Accept")
		fmt.Fprintf(rw, "accept=%q", r.Header.Get("Accept"))
	})
	w.do("GET", "/page", "", w.bearer(claims{"sub": "mallory", "org_id": "acme"}), [2]string{"Accept", "application/json"}, [2]string{"Connection", "Accept"})
	b := w.do("GET", "/page", "", w.bearer(claims{"sub": "alice", "org_id": "acme"}), [2]string{"Accept", "application/json"})
	if b.body != `accept="application/json"` {
		t.Errorf("the victim got %s (%s)", b.body, b.header.Get("Cache-Status"))
	}
}
