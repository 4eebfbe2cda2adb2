package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"text/template"
	"time"
)

// server is a competitor, or the origin, while it runs.
type server struct {
	*process
	port  int
	tls   bool
	admin int    // hopgate's admin port
	log   string // hopgate's access log
}

func (s *server) url(path string) string {
	if s.tls {
		return fmt.Sprintf("https://127.0.0.1:%d%s", s.port, path)
	}
	return fmt.Sprintf("http://127.0.0.1:%d%s", s.port, path)
}

// lab is what all experiments share.
type lab struct {
	tools
	machine   machine
	dir       string // temporary
	origin    *server
	es, rs    *signer
	ed        *signer
	cert, key string // files, for TLS
	self      string // this program
	hopgate   string // the gate's binary
	other     string // another build of it, for comparison; mostly empty
	running   []*server
	client    *http.Client
}

// The origin's answers.
var (
	smallBody = document(1 << 10)
	largeBody = document(64 << 10)
)

// document makes a JSON document of exactly n bytes.
func document(n int) string {
	type email struct {
		ID    string `json:"id"`
		Email string `json:"email_address"`
		State string `json:"verification"`
	}
	doc := struct {
		ID     string  `json:"id"`
		Name   string  `json:"name"`
		Emails []email `json:"emails"`
		Notes  string  `json:"notes"`
	}{ID: "user", Name: "Bench Mark"}
	for i := range 5 {
		doc.Emails = append(doc.Emails, email{fmt.Sprintf("email_%d", i), fmt.Sprintf("user%d@example.com", i), "verified"})
	}
	text, _ := json.Marshal(doc)
	doc.Notes = strings.Repeat("lorem ipsum ", n/12+1)[:n-len(text)]
	text, _ = json.Marshal(doc)
	return string(text)
}

// freePort gives a port that nobody listens on.
func freePort() int {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err) // no loopback, no comparison
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

// write makes a file in the temporary folder from a template.
func (l *lab) write(name, text string, data any) (string, error) {
	t, err := template.New(name).Parse(text)
	if err != nil {
		return "", err
	}
	path := filepath.Join(l.dir, name)
	f, err := os.Create(path)
	if err != nil {
		return "", err
	}
	return path, errors.Join(t.Execute(f, data), f.Close())
}

// launch starts a server and waits until it accepts connections.
func (l *lab) launch(s *server, name, cores string, argv ...string) (*server, error) {
	p, err := start(name, l.dir, cores, argv...)
	if err != nil {
		return nil, err
	}
	s.process = p
	l.running = append(l.running, s)
	for until := time.Now().Add(15 * time.Second); ; time.Sleep(500 * time.Microsecond) {
		c, err := net.DialTimeout("tcp", fmt.Sprintf("127.0.0.1:%d", s.port), time.Second)
		if err == nil {
			c.Close()
			return s, nil
		}
		if !p.alive() || time.Now().After(until) {
			return nil, fmt.Errorf("%s does not start (%w): %s", name, err, p.complaint())
		}
	}
}

// stopAll ends every server but the origin.
func (l *lab) stopAll() {
	for _, s := range l.running {
		if s != l.origin {
			s.stop()
		}
	}
	l.running = nil
	if l.origin != nil {
		l.running = []*server{l.origin}
	}
}

// on says where a competitor runs.
type on struct {
	cores   string // as taskset has it
	threads int
	tls     bool
}

// variables are what the configuration templates know.
type variables struct {
	Port, Admin, Origin int
	Threads             int
	TLS, Cache          bool
	Dir                 string
	Path                string // of files of its own, in Dir
	Cert, Key           string
	Alg, PublicKey      string // of the tokens that HAProxy verifies
	JWKS                string
	Issuer, Audience    string
	Secret              string // for the origin
	Small               string // the origin's answer
	Log                 string
	User                string // nginx's workers run as
}

const backendSecret = "bench-backend-secret"

func (l *lab) variables(o on) variables {
	v := variables{
		Port: freePort(), Threads: o.threads, TLS: o.tls, Dir: l.dir, Cert: l.cert, Key: l.key,
		Small: smallBody, Issuer: issuer, Audience: audience, Secret: backendSecret,
	}
	if l.origin != nil {
		v.Origin = l.origin.port
	}
	if os.Getuid() == 0 {
		v.User = "user root;" // the temporary folder is nobody else's
	}
	return v
}

// startOrigin starts the backend that every competitor forwards to.
func (l *lab) startOrigin() error {
	v := l.variables(on{threads: 1})
	if err := os.WriteFile(filepath.Join(l.dir, "large.json"), []byte(largeBody), 0o600); err != nil {
		return err
	}
	conf, err := l.write("origin.conf", originConf, v)
	if err != nil {
		return err
	}
	l.origin, err = l.launch(&server{port: v.Port}, "origin", l.machine.originCores, "nginx", "-c", conf, "-p", l.dir, "-e", "stderr")
	return err
}

const originConf = `
{{.User}} worker_processes 1; daemon off; pid {{.Dir}}/origin.pid; error_log stderr warn;
events { worker_connections 4096; }
http {
  access_log off; keepalive_requests 1000000000; keepalive_timeout 600s; tcp_nodelay on; sendfile on;
  open_file_cache max=10; default_type application/json;
  client_body_temp_path {{.Dir}}/origin-body;
  server {
    listen 127.0.0.1:{{.Port}} backlog=4096;
    add_header Cache-Control "public, max-age=3600";
    location / { return 200 '{{.Small}}'; }
    location /v1/blobs/ { root {{.Dir}}; try_files /large.json =404; }
    location = /stub { stub_status; }
  }
}
`

// originRequests gives how many requests the origin has served.
func (l *lab) originRequests() (int, error) {
	text, err := l.get(l.origin.url("/stub"))
	if err != nil {
		return 0, err
	}
	var accepts, handled, requests int
	at := strings.Index(text, "requests\n")
	if at < 0 {
		return 0, fmt.Errorf("no counters in %q", text)
	}
	_, err = fmt.Sscan(text[at+len("requests\n"):], &accepts, &handled, &requests)
	return requests, err
}
