package netreply

// validateSecretHeaders finds a name that no field can have.
func validateSecretHeaders(field string, list []string) error {
	for _, name := range list {
		if !validToken(name) {
			return &FieldError{field, name, "not valid as the name of a header field"}
		}
	}
	return nil
}
