package demo

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// slowAnswer is how long GET /v1/slow takes.
const slowAnswer = 3 * time.Second

// Backend is a small API in the shape of Clerk's Backend API, which trusts
// whoever has its secret: the kind of service that needs a gate. All methods
// may be called concurrently.
type Backend struct {
	address string
	secret  string
	served  atomic.Int64

	life   sync.Mutex // guards what Start and Stop change
	server *http.Server

	mu    sync.Mutex
	users map[string]map[string]any
	orgs  map[string]map[string]any
}

// NewBackend makes a backend that asks for secret, starts it on address
// (port 0 picks one), and keeps to that port.
func NewBackend(address, secret string) (*Backend, error) {
	b := &Backend{address: address, secret: secret, users: map[string]map[string]any{}, orgs: map[string]map[string]any{}}
	created := time.Date(2026, 1, 15, 9, 30, 0, 0, time.UTC).UnixMilli()
	for name, p := range people {
		b.users[p.user] = map[string]any{
			"id": p.user, "object": "user", "username": name,
			"first_name": p.first, "last_name": p.last,
			"primary_email_address_id": "idn_" + name,
			"email_addresses": []any{map[string]any{
				"id": "idn_" + name, "object": "email_address", "email_address": name + "@example.com",
				"verification": map[string]any{"status": "verified", "strategy": "email_code", "attempts": 1},
				"linked_to":    []any{},
			}},
			"public_metadata":  map[string]any{"theme": "dark"},
			"private_metadata": map[string]any{"stripe_customer": "cus_" + name, "risk_score": 17},
			"banned":           false,
			"locked":           false,
			"created_at":       created,
			"updated_at":       created,
		}
	}
	for id, name := range organizations {
		b.orgs[id] = map[string]any{
			"id": id, "object": "organization", "name": name, "slug": strings.TrimPrefix(id, "org_"),
			"max_allowed_memberships": 5,
			"public_metadata":         map[string]any{},
			"private_metadata":        map[string]any{"contract": "no. 4711", "margin_percent": 38},
			"created_at":              created,
			"updated_at":              created,
		}
	}
	return b, b.Start()
}

// URL gives the base address, without a path.
func (b *Backend) URL() string { return "http://" + b.address }

// Served gives the number of requests that reached the backend with its
// secret.
func (b *Backend) Served() int64 { return b.served.Load() }

// Start opens the listener, on the port it had before. It does nothing where
// the backend runs.
func (b *Backend) Start() error {
	b.life.Lock()
	defer b.life.Unlock()
	if b.server != nil {
		return nil
	}
	ln, err := net.Listen("tcp", b.address)
	if err != nil {
		return fmt.Errorf("can't start the demo backend: %w", err)
	}
	b.address = ln.Addr().String()
	b.server = &http.Server{Handler: b.handler(), ReadHeaderTimeout: 5 * time.Second}
	go b.server.Serve(ln) //nolint:errcheck // ends with Stop
	return nil
}

// Stop closes the listener and every connection, as a crash would.
func (b *Backend) Stop() error {
	b.life.Lock()
	defer b.life.Unlock()
	if b.server == nil {
		return nil
	}
	err := b.server.Close()
	b.server = nil
	return err
}

func (b *Backend) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/status", b.status)
	mux.HandleFunc("GET /v1/slow", b.slow)
	mux.HandleFunc("GET /v1/failing", b.failing)
	mux.HandleFunc("GET /v1/users", b.listUsers)
	mux.HandleFunc("GET /v1/users/{id}", b.getUser)
	mux.HandleFunc("PATCH /v1/users/{id}", b.patchUser)
	mux.HandleFunc("GET /v1/users/{id}/organization_memberships", b.userMemberships)
	mux.HandleFunc("GET /v1/organizations/{id}", b.getOrganization)
	mux.HandleFunc("GET /v1/organizations/{id}/memberships", b.memberships)
	mux.HandleFunc("GET /v1/organizations/{id}/invitations", b.invitations)
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) {
		fault(w, http.StatusNotFound, "resource_not_found", "not found")
	})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		want := "Bearer " + b.secret
		if subtle.ConstantTimeCompare([]byte(r.Header.Get("Authorization")), []byte(want)) != 1 {
			fault(w, http.StatusUnauthorized, "authentication_invalid", "Invalid authentication")
			return
		}
		w.Header().Set("X-Backend-Request-Count", strconv.FormatInt(b.served.Add(1), 10))
		mux.ServeHTTP(w, r)
	})
}

// fault answers in the shape of Clerk's errors.
func fault(w http.ResponseWriter, status int, code, message string) {
	writeJSON(w, status, map[string]any{"errors": []any{map[string]any{"message": message, "long_message": message, "code": code}}})
}

// answer sends an object with its entity tag, and the number of the request
// so that one can see which answers came from a cache.
func (b *Backend) answer(w http.ResponseWriter, r *http.Request, object map[string]any) {
	body, err := json.Marshal(object)
	if err != nil {
		fault(w, http.StatusInternalServerError, "internal_error", "internal error")
		return
	}
	sum := sha256.Sum256(body)
	tag := `"` + hex.EncodeToString(sum[:8]) + `"`
	w.Header().Set("ETag", tag)
	if r.Method == http.MethodGet && r.Header.Get("If-None-Match") == tag {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	served, err := strconv.Atoi(w.Header().Get("X-Backend-Request-Count"))
	if err != nil {
		served = 0
	}
	object["served"] = served
	writeJSON(w, http.StatusOK, object)
}

func (b *Backend) status(w http.ResponseWriter, r *http.Request) {
	b.answer(w, r, map[string]any{"status": "ok"})
}

func (b *Backend) slow(w http.ResponseWriter, r *http.Request) {
	select {
	case <-time.After(slowAnswer):
		b.answer(w, r, map[string]any{"status": "slow"})
	case <-r.Context().Done():
	}
}

func (b *Backend) failing(w http.ResponseWriter, _ *http.Request) {
	fault(w, http.StatusInternalServerError, "internal_error", "the backend has a bad day")
}

// clone copies an object by way of JSON, so that answers share nothing with
// the store.
func clone(object map[string]any) map[string]any {
	body, err := json.Marshal(object)
	if err != nil {
		return nil
	}
	var c map[string]any
	if json.Unmarshal(body, &c) != nil {
		return nil
	}
	return c
}

func (b *Backend) find(w http.ResponseWriter, table map[string]map[string]any, id string) map[string]any {
	b.mu.Lock()
	defer b.mu.Unlock()
	object, ok := table[id]
	if !ok {
		fault(w, http.StatusNotFound, "resource_not_found", "not found")
		return nil
	}
	return clone(object)
}

func (b *Backend) getUser(w http.ResponseWriter, r *http.Request) {
	if user := b.find(w, b.users, r.PathValue("id")); user != nil {
		b.answer(w, r, user)
	}
}

// changeable are the members of a user that PATCH takes. The metadata are
// the reason why a gate must look into the body.
var changeable = []string{"first_name", "last_name", "username", "public_metadata", "private_metadata"}

func (b *Backend) patchUser(w http.ResponseWriter, r *http.Request) {
	var change map[string]any
	var tooLarge *http.MaxBytesError
	err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 64<<10)).Decode(&change)
	switch {
	case errors.As(err, &tooLarge):
		fault(w, http.StatusRequestEntityTooLarge, "request_body_too_large", "the body is too large")
		return
	case err != nil || change == nil:
		fault(w, http.StatusBadRequest, "request_body_invalid", "the body is no JSON object")
		return
	}
	for name := range change {
		if !slices.Contains(changeable, name) {
			fault(w, http.StatusUnprocessableEntity, "form_param_unknown", name+" is not a valid parameter for this request.")
			return
		}
	}
	b.mu.Lock()
	user, ok := b.users[r.PathValue("id")]
	if ok {
		for name, value := range change {
			user[name] = value
		}
		user["updated_at"] = time.Now().UnixMilli()
		user = clone(user)
	}
	b.mu.Unlock()
	if !ok {
		fault(w, http.StatusNotFound, "resource_not_found", "not found")
		return
	}
	b.answer(w, r, user)
}

func (b *Backend) getOrganization(w http.ResponseWriter, r *http.Request) {
	if org := b.find(w, b.orgs, r.PathValue("id")); org != nil {
		b.answer(w, r, org)
	}
}

// members gives the people of an organization, or all, by name.
func members(org string) []person {
	var list []person
	for _, p := range people {
		if org == "" || p.org == org {
			list = append(list, p)
		}
	}
	slices.SortFunc(list, func(a, b person) int { return strings.Compare(a.user, b.user) })
	return list
}

// listUsers answers an object, where Clerk answers the bare list, so that it
// can say which request it served.
func (b *Backend) listUsers(w http.ResponseWriter, r *http.Request) {
	list := []any{}
	for _, p := range members(r.URL.Query().Get("organization_id")) {
		b.mu.Lock()
		list = append(list, clone(b.users[p.user]))
		b.mu.Unlock()
	}
	b.answer(w, r, map[string]any{"data": list, "total_count": len(list)})
}

func (b *Backend) memberships(w http.ResponseWriter, r *http.Request) {
	if b.find(w, b.orgs, r.PathValue("id")) == nil {
		return
	}
	limit := 10
	if text := r.URL.Query().Get("limit"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 || n > 500 {
			fault(w, http.StatusUnprocessableEntity, "form_param_invalid", "limit must be a number from 1 to 500.")
			return
		}
		limit = n
	}
	list := members(r.PathValue("id"))
	total := len(list)
	data := []any{}
	for _, p := range list[:min(limit, total)] {
		data = append(data, b.membership(p))
	}
	b.answer(w, r, map[string]any{"data": data, "total_count": total, "limit": limit})
}

func (b *Backend) userMemberships(w http.ResponseWriter, r *http.Request) {
	id := r.PathValue("id")
	if b.find(w, b.users, id) == nil {
		return
	}
	data := []any{}
	for _, p := range members("") {
		if p.user == id {
			data = append(data, b.membership(p))
		}
	}
	b.answer(w, r, map[string]any{"data": data, "total_count": len(data)})
}

func (b *Backend) membership(p person) map[string]any {
	return map[string]any{
		"id": "orgmem_" + strings.TrimPrefix(p.user, "user_"), "object": "organization_membership", "role": "org:" + p.role,
		"organization":     map[string]any{"id": p.org, "name": organizations[p.org]},
		"public_user_data": map[string]any{"user_id": p.user, "first_name": p.first, "last_name": p.last, "identifier": strings.ToLower(p.first) + "@example.com"},
		"private_metadata": map[string]any{"salary_band": "C"},
	}
}

func (b *Backend) invitations(w http.ResponseWriter, r *http.Request) {
	if b.find(w, b.orgs, r.PathValue("id")) == nil {
		return
	}
	b.answer(w, r, map[string]any{"data": []any{}, "total_count": 0})
}
