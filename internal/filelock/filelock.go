// Package filelock locks open files for one process at a time. The system lets go of a
// lock when its process dies, however that comes.
package filelock
