package dial

// isRefused tells that a server has refused a connection, which Plan 9 says in words only.
func isRefused(error) bool { return false }
