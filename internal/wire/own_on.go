//go:build netreply_ownh1

package wire

// ownConns makes OwnConn the default.
const ownConns = true
