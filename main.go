// Command hopgate is an edge authorization proxy: it verifies session tokens
// locally, decides by a policy file, and answers from a short-lived cache or
// forwards to the backend with the secret injected.
package main

import (
	"os"

	"hopgate/cli"
)

func main() {
	os.Exit(cli.Run(os.Args[1:], cli.Streams{In: os.Stdin, Out: os.Stdout, Err: os.Stderr}))
}
