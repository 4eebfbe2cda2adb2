// Command hopgate is an edge authorization proxy: it verifies session tokens
// locally, decides by a policy file, and answers from a short-lived cache or
// forwards to the backend with the secret injected.
package main

import (
	"io"
	"log"
	"os"

	"hopgate/cli"
)

func main() {
	// What net/http finds wrong with an upstream's HTTP/2 it tells the standard
	// logger: an upstream could fill our standard error with it.
	log.SetOutput(io.Discard)
	os.Exit(cli.Run(os.Args[1:], cli.Streams{In: os.Stdin, Out: os.Stdout, Err: os.Stderr}))
}
