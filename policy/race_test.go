//go:build race

package policy

// raceDetector tells that the race detector is on, which allocates itself.
const raceDetector = true
