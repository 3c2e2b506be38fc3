//go:build !unix

package httpcache

import "io/fs"

const plainFlags = 0

func isPlanted(error) bool { return false }

func hasOtherNames(fs.FileInfo) bool { return false }

func keepToOwner(string, fs.FileInfo) error { return nil }
