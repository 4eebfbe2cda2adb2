package admin

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"reflect"
	"slices"
	"strings"
)

// PurgeRequest is the body of POST /purge: what is forgotten. A soft purge
// makes answers stale instead.
type PurgeRequest struct {
	Routes        []string `json:"routes,omitempty"`
	Keys          []string `json:"keys,omitempty"`
	Principals    []string `json:"principals,omitempty"`
	Organizations []string `json:"organizations,omitempty"`
	Sessions      []string `json:"sessions,omitempty"`
	Tags          []string `json:"tags,omitempty"`
	URIs          []string `json:"uris,omitempty"`
	All           bool     `json:"all,omitempty"`
	Soft          bool     `json:"soft,omitempty"`
}

// PurgeAnswer is the answer to POST /purge.
type PurgeAnswer struct {
	Purged PurgeRequest `json:"purged"`
}

// InspectRequest is the body of POST /cache/inspect: a request to be asked
// about. The token is put where its route's issuers look for one.
type InspectRequest struct {
	Method   string            `json:"method"`
	URL      string            `json:"url"`
	Headers  map[string]string `json:"headers,omitempty"`
	Token    string            `json:"token,omitempty"`
	ClientIP string            `json:"client_ip,omitempty"`
}

func (s *Server) cache(w http.ResponseWriter, _ *http.Request) {
	s.json(w, http.StatusOK, s.options.Cache())
}

func (s *Server) inspect(w http.ResponseWriter, r *http.Request) {
	var q InspectRequest
	if !decode(w, r, &q) {
		return
	}
	answer, err := s.options.Inspect(r.Context(), q)
	if err != nil {
		text(w, http.StatusBadRequest, err.Error())
		return
	}
	s.json(w, http.StatusOK, answer)
}

func (s *Server) purge(w http.ResponseWriter, r *http.Request) {
	var p PurgeRequest
	if !decode(w, r, &p) {
		return
	}
	if err := s.options.Purge(p); err != nil {
		text(w, http.StatusBadRequest, err.Error())
		return
	}
	s.json(w, http.StatusOK, PurgeAnswer{p})
}

// maxBody is the largest request body.
const maxBody = 1 << 20

// decode reads a request's JSON into v. Where that cannot be done it has
// answered, without showing what the body holds.
func decode(w http.ResponseWriter, r *http.Request, v any) bool {
	// No form of a page can send this type, so that also an old browser asks
	// before it sends it (Fetch standard, CORS-safelisted request-header).
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != "application/json" {
		text(w, http.StatusUnsupportedMediaType, "the Content-Type should be application/json")
		return false
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		var large *http.MaxBytesError
		if errors.As(err, &large) {
			text(w, http.StatusRequestEntityTooLarge, fmt.Sprintf("the body has more than %d bytes", maxBody))
		} else {
			text(w, http.StatusBadRequest, "the body broke off")
		}
		return false
	}
	if fault := parse(body, v); fault != "" {
		text(w, http.StatusBadRequest, fault)
		return false
	}
	return true
}

// parse decodes one JSON object that has no members but v's, each once and in
// its very spelling: a purge that is read otherwise than it was meant purges
// too little.
func parse(body []byte, v any) (fault string) {
	d := json.NewDecoder(strings.NewReader(string(body)))
	if first, err := d.Token(); err != nil || first != json.Delim('{') {
		return "the body should be a JSON object"
	}
	known := members(v)
	var seen []string
	for d.More() {
		name, err := d.Token()
		if err != nil {
			return "the body is not well-formed JSON: " + syntax(err)
		}
		member, _ := name.(string)
		switch {
		case !slices.Contains(known, member):
			return fmt.Sprintf("%.40q is not known; the members are %s", member, strings.Join(known, ", "))
		case slices.Contains(seen, member):
			return fmt.Sprintf("%s stands there twice", member)
		}
		seen = append(seen, member)
		var value json.RawMessage
		if err := d.Decode(&value); err != nil {
			return "the body is not well-formed JSON: " + syntax(err)
		}
		if string(value) == "null" {
			return member + " is null; leave it out"
		}
	}
	if _, err := d.Token(); err != nil {
		return "the body is not well-formed JSON: " + syntax(err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return "something follows the JSON object"
	}
	if err := json.Unmarshal(body, v); err != nil {
		var wrong *json.UnmarshalTypeError
		if errors.As(err, &wrong) {
			return fmt.Sprintf("%s is a JSON %s; it should be %s", wrong.Field, strings.Fields(wrong.Value)[0], looks(wrong.Type.String()))
		}
		return "the body is not well-formed JSON: " + syntax(err)
	}
	return ""
}

// syntax tells where JSON breaks, and nothing of what stands there.
func syntax(err error) string {
	var s *json.SyntaxError
	if errors.As(err, &s) {
		return fmt.Sprintf("see byte %d", s.Offset)
	}
	return "it ends too early"
}

func looks(goType string) string {
	switch goType {
	case "bool":
		return "true or false"
	case "string":
		return "a string"
	case "map[string]string":
		return "an object of strings"
	}
	return "a list of strings"
}

// members lists the names of the members of the struct that v points to.
func members(v any) []string {
	t := reflect.TypeOf(v).Elem()
	names := make([]string, t.NumField())
	for i := range names {
		names[i], _, _ = strings.Cut(t.Field(i).Tag.Get("json"), ",")
	}
	return names
}
