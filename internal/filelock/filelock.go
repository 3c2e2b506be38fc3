// Package filelock locks open files for one process at a time. The system releases the lock
// when the process ends, in whatever way.
package filelock
