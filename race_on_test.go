//go:build race

package netreply_test

const raceEnabled = true
