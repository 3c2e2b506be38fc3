package libraries

import (
	"bufio"
	"bytes"
	"crypto/hmac"
	"crypto/md5"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/xml"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

const (
	s3Key    = "gopher"
	s3Secret = "burrow"
	s3Region = "eu-central-1"
)

// s3Server is one bucket of objects in memory. It checks the signature of every request,
// which covers the method, path, query and header as the client meant them.
type s3Server struct {
	mu       sync.Mutex
	objects  map[string]s3Object
	uploads  map[string]map[int][]byte // by upload and part
	busy     int                       // number of PUTs to refuse after having read them
	requests []string
}

type s3Object struct {
	data     []byte
	kind     string
	metadata map[string]string
	modified time.Time
}

func newS3Server() *s3Server {
	return &s3Server{objects: map[string]s3Object{}, uploads: map[string]map[int][]byte{}}
}

type s3Error struct {
	XMLName  xml.Name `xml:"Error"`
	Code     string
	Message  string
	Key      string
	Resource string
}

func (s *s3Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	key, _ := strings.CutPrefix(r.URL.Path, "/bucket/")
	fail := func(status int, code, message string) {
		w.Header().Set("Content-Type", "application/xml")
		w.WriteHeader(status)
		xml.NewEncoder(w).Encode(s3Error{Code: code, Message: message, Key: key, Resource: r.URL.Path})
	}
	// The body is read first and without the lock: parts of an upload come at the same time.
	data, err := s3Payload(r)
	if err != nil {
		fail(http.StatusBadRequest, "BadDigest", err.Error())
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.requests = append(s.requests, r.Method+" "+r.URL.Path)
	if err := checkS3Signature(r); err != nil {
		fail(http.StatusForbidden, "SignatureDoesNotMatch", err.Error())
		return
	}
	if r.Method == http.MethodPut && s.busy > 0 {
		s.busy--
		fail(http.StatusServiceUnavailable, "SlowDown", "please reduce your request rate")
		return
	}
	query := r.URL.Query()
	upload := query.Get("uploadId")
	answer := func(v any) {
		w.Header().Set("Content-Type", "application/xml")
		xml.NewEncoder(w).Encode(v)
	}
	switch {
	case r.Method == http.MethodGet && query.Get("list-type") == "2":
		answer(s.list(query))
	case r.Method == http.MethodPost && query.Has("uploads"):
		upload = fmt.Sprint("upload-", len(s.uploads)+1)
		s.uploads[upload] = map[int][]byte{}
		s.objects[upload] = s3NewObject(r, nil) // holds the header until the upload is complete
		answer(struct {
			XMLName     xml.Name `xml:"InitiateMultipartUploadResult"`
			Bucket, Key string
			ID          string `xml:"UploadId"`
		}{Bucket: "bucket", Key: key, ID: upload})
	case r.Method == http.MethodPut && upload != "":
		part, _ := strconv.Atoi(query.Get("partNumber"))
		s.uploads[upload][part] = data
		w.Header().Set("ETag", s3Tag(data))
	case r.Method == http.MethodPost && upload != "":
		object := s.objects[upload]
		delete(s.objects, upload)
		for _, part := range slices.Sorted(maps.Keys(s.uploads[upload])) {
			object.data = append(object.data, s.uploads[upload][part]...)
		}
		s.objects[key] = object
		answer(struct {
			XMLName           xml.Name `xml:"CompleteMultipartUploadResult"`
			Bucket, Key, ETag string
		}{Bucket: "bucket", Key: key, ETag: s3Tag(object.data)})
	case r.Method == http.MethodPut:
		s.objects[key] = s3NewObject(r, data)
		w.Header().Set("ETag", s3Tag(data))
	case r.Method == http.MethodDelete:
		delete(s.objects, key)
		w.WriteHeader(http.StatusNoContent)
	default:
		object, ok := s.objects[key]
		if !ok {
			fail(http.StatusNotFound, "NoSuchKey", "the key does not exist")
			return
		}
		for name, value := range object.metadata {
			w.Header().Set(name, value)
		}
		w.Header().Set("Content-Type", object.kind)
		w.Header().Set("ETag", s3Tag(object.data))
		http.ServeContent(w, r, "", object.modified, bytes.NewReader(object.data))
	}
}

func s3NewObject(r *http.Request, data []byte) s3Object {
	object := s3Object{data: data, kind: r.Header.Get("Content-Type"), metadata: map[string]string{}, modified: time.Now()}
	for name := range r.Header {
		if strings.HasPrefix(name, "X-Amz-Meta-") {
			object.metadata[name] = r.Header.Get(name)
		}
	}
	return object
}

func s3Tag(data []byte) string { return fmt.Sprintf("%q", fmt.Sprintf("%x", md5.Sum(data))) }

// list answers in pages of two keys.
func (s *s3Server) list(query url.Values) any {
	type content struct {
		Key, ETag    string
		Size         int
		LastModified string
	}
	var result struct {
		XMLName               xml.Name `xml:"ListBucketResult"`
		Name, EncodingType    string
		NextContinuationToken string
		IsTruncated           bool
		Contents              []content
	}
	result.Name, result.EncodingType = "bucket", "url"
	start, _ := hex.DecodeString(query.Get("continuation-token"))
	for _, key := range slices.Sorted(maps.Keys(s.objects)) {
		if !strings.HasPrefix(key, query.Get("prefix")) || key <= string(start) {
			continue
		}
		if len(result.Contents) == 2 {
			last, _ := url.QueryUnescape(result.Contents[1].Key)
			result.IsTruncated, result.NextContinuationToken = true, hex.EncodeToString([]byte(last))
			break
		}
		object := s.objects[key]
		result.Contents = append(result.Contents, content{
			Key: url.QueryEscape(key), ETag: s3Tag(object.data), Size: len(object.data),
			LastModified: object.modified.UTC().Format("2006-01-02T15:04:05.000Z"),
		})
	}
	return result
}

// s3Payload reads a body, which is plain or in chunks of its own inside of those of HTTP,
// and checks its digests.
func s3Payload(r *http.Request) ([]byte, error) {
	encoding := r.Header.Get("X-Amz-Content-Sha256")
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	if want := r.Header.Get("Content-Md5"); want != "" {
		if sum := md5.Sum(body); want != base64.StdEncoding.EncodeToString(sum[:]) {
			return nil, errors.New("the body does not have the MD5 of the header")
		}
	}
	if !strings.HasPrefix(encoding, "STREAMING-") {
		if sum := fmt.Sprintf("%x", sha256.Sum256(body)); encoding != "UNSIGNED-PAYLOAD" && encoding != sum {
			return nil, errors.New("the body does not have the SHA-256 of the header")
		}
		return body, nil
	}
	var data []byte
	lines := bufio.NewReader(bytes.NewReader(body))
	for {
		line, err := lines.ReadString('\n')
		if err != nil {
			return nil, err
		}
		size, err := strconv.ParseInt(strings.TrimSpace(strings.SplitN(line, ";", 2)[0]), 16, 32)
		if err != nil {
			return nil, err
		}
		if size == 0 {
			break
		}
		chunk := make([]byte, size+2)
		if _, err := io.ReadFull(lines, chunk); err != nil {
			return nil, err
		}
		data = append(data, chunk[:size]...)
	}
	if want := r.Header.Get("X-Amz-Decoded-Content-Length"); want != strconv.Itoa(len(data)) {
		return nil, fmt.Errorf("%d bytes instead of %s", len(data), want)
	}
	if r.Header.Get("X-Amz-Trailer") == "" {
		return data, nil
	}
	trailer, err := lines.ReadString('\n')
	if err != nil {
		return nil, err
	}
	sum := crc32.Checksum(data, crc32.MakeTable(crc32.Castagnoli))
	want := "x-amz-checksum-crc32c:" + base64.StdEncoding.EncodeToString([]byte{byte(sum >> 24), byte(sum >> 16), byte(sum >> 8), byte(sum)})
	if got := strings.ToLower(strings.TrimSpace(trailer)); got != strings.ToLower(want) {
		return nil, fmt.Errorf("trailer %q, not %q", got, want)
	}
	return data, nil
}

// checkS3Signature computes the signature of version 4 from the request as it arrived.
func checkS3Signature(r *http.Request) error {
	fields := map[string]string{}
	for field := range strings.SplitSeq(strings.TrimPrefix(r.Header.Get("Authorization"), "AWS4-HMAC-SHA256 "), ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(field), "=")
		fields[name] = value
	}
	date := r.Header.Get("X-Amz-Date")
	if len(date) < 8 || fields["Signature"] == "" {
		return errors.New("the request is not signed")
	}
	path, _, _ := strings.Cut(r.RequestURI, "?")
	request := r.Method + "\n" + path + "\n" + strings.ReplaceAll(r.URL.Query().Encode(), "+", "%20") + "\n"
	for name := range strings.SplitSeq(fields["SignedHeaders"], ";") {
		value := strings.Join(strings.Fields(strings.Join(r.Header.Values(name), ",")), " ")
		switch name {
		case "host":
			value = r.Host
		case "content-length":
			value = strconv.FormatInt(r.ContentLength, 10)
		}
		request += name + ":" + value + "\n"
	}
	request += "\n" + fields["SignedHeaders"] + "\n" + r.Header.Get("X-Amz-Content-Sha256")
	scope := date[:8] + "/" + s3Region + "/s3/aws4_request"
	sum := sha256.Sum256([]byte(request))
	key := []byte("AWS4" + s3Secret)
	for _, part := range append(strings.Split(scope, "/"), "AWS4-HMAC-SHA256\n"+date+"\n"+scope+"\n"+hex.EncodeToString(sum[:])) {
		mac := hmac.New(sha256.New, key)
		mac.Write([]byte(part))
		key = mac.Sum(nil)
	}
	if fields["Credential"] != s3Key+"/"+scope || fields["Signature"] != hex.EncodeToString(key) {
		return fmt.Errorf("signature is not of %q", request)
	}
	return nil
}
