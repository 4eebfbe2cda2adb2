package main

import (
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"hopgate/bench/gopeer"
	"hopgate/bench/openloop"
)

// roles are what this program does when it starts itself.
var roles = map[string]func(args []string) error{
	"openloop": runOpenloop,
	"gopeer":   runGopeer,
}

func runOpenloop(args []string) error {
	if len(args) != 7 {
		return errors.New("openloop: PORT RATE CONNS SECONDS STATUS LENGTH FILE")
	}
	var n [6]int
	for i := range n {
		var err error
		if n[i], err = strconv.Atoi(args[i]); err != nil {
			return err
		}
	}
	text, err := os.ReadFile(args[6])
	if err != nil {
		return err
	}
	var requests [][]byte
	for line := range strings.Lines(string(text)) {
		path, token, ok := strings.Cut(strings.TrimSuffix(line, "\n"), "\t")
		if !ok {
			return fmt.Errorf("%s: not a path, a tab and a token: %q", args[6], line)
		}
		requests = append(requests, fmt.Appendf(nil, "GET %s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nAuthorization: Bearer %s\r\n\r\n", path, n[0], token))
	}
	r, err := openloop.Run(openloop.Options{
		Addr: openloopAddr(n[0]), Rate: n[1], Conns: n[2], Duration: time.Duration(n[3]) * time.Second, Want: n[4], Length: n[5],
		Requests: requests,
	})
	if err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(r)
}

func runGopeer(args []string) error {
	if len(args) != 4 {
		return errors.New("gopeer: LISTEN ORIGIN ALG KEYFILE")
	}
	text, err := os.ReadFile(args[3])
	if err != nil {
		return err
	}
	block, _ := pem.Decode(text)
	if block == nil {
		return fmt.Errorf("%s is not PEM", args[3])
	}
	key, err := x509.ParsePKIXPublicKey(block.Bytes)
	if err != nil {
		return err
	}
	return gopeer.Serve(gopeer.Config{
		Listen: args[0], Origin: args[1], Issuer: issuer, Audience: audience, Alg: args[2], Key: key, Secret: backendSecret,
	})
}
