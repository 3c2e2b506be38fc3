package netreply

import (
	"log/slog"
	"net/http"
)

// Operation is the kind of a request (Qt: QNetworkAccessManager::Operation).
type Operation int

const (
	UnknownOperation Operation = iota
	HeadOperation
	GetOperation
	PutOperation
	PostOperation
	DeleteOperation
	CustomOperation // any other method
)

// String is the name of the operation, such as "Get".
func (o Operation) String() string {
	return nameOf("Operation", int(o), "Unknown", "Head", "Get", "Put", "Post", "Delete", "Custom")
}

func operationOf(method string) Operation {
	switch method {
	case http.MethodHead:
		return HeadOperation
	case http.MethodGet:
		return GetOperation
	case http.MethodPut:
		return PutOperation
	case http.MethodPost:
		return PostOperation
	case http.MethodDelete:
		return DeleteOperation
	}
	return CustomOperation
}

// LogValue is what log/slog prints: the same as String.
func (o Operation) LogValue() slog.Value { return slog.StringValue(o.String()) }

// methodOf is the method of an operation, "" for those that have none.
func methodOf(o Operation) string {
	switch o {
	case HeadOperation:
		return http.MethodHead
	case GetOperation:
		return http.MethodGet
	case PutOperation:
		return http.MethodPut
	case PostOperation:
		return http.MethodPost
	case DeleteOperation:
		return http.MethodDelete
	case UnknownOperation, CustomOperation:
	}
	return ""
}
