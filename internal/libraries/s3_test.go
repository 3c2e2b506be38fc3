package libraries

import (
	"bytes"
	"context"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"testing"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/netreply/netreply/internal/testserver"
)

// s3Client makes a client of a new server.
func s3Client(t testing.TB, c *client, secret string) (*minio.Client, *s3Server) {
	server := newS3Server()
	s, rt := c.serve(t, server)
	address, err := url.Parse(s.URL)
	require.NoError(t, err)
	client, err := minio.New(address.Host, &minio.Options{
		Creds: credentials.NewStaticV4(s3Key, secret, ""), Region: s3Region, Secure: address.Scheme == "https", Transport: rt,
		TrailingHeaders: true,
	})
	require.NoError(t, err)
	return client, server
}

func randomBytes(n int) []byte {
	b := make([]byte, n)
	rand.NewChaCha8([32]byte{1}).Read(b)
	return b
}

func TestS3Objects(t *testing.T) {
	const key = "a folder/b+ü 100%25~!'().txt" // every character as S3 wants it, or the signature is wrong
	each(t, testserver.Kinds, func(t *testing.T, c *client) {
		client, _ := s3Client(t, c, s3Secret)
		ctx := deadline(t)
		data := randomBytes(300_000)
		put, err := client.PutObject(ctx, "bucket", key, bytes.NewReader(data), int64(len(data)), minio.PutObjectOptions{
			ContentType: "application/x-test", UserMetadata: map[string]string{"Color": "dark  blue"},
		})
		require.NoError(t, err)
		assert.Equal(t, int64(len(data)), put.Size)

		stat, err := client.StatObject(ctx, "bucket", key, minio.StatObjectOptions{})
		require.NoError(t, err)
		assert.Equal(t, put.ETag, stat.ETag)
		assert.Equal(t, int64(len(data)), stat.Size)
		assert.Equal(t, "application/x-test", stat.ContentType)
		assert.Contains(t, stat.UserMetadata, "Color")

		object, err := client.GetObject(ctx, "bucket", key, minio.GetObjectOptions{})
		require.NoError(t, err)
		got, err := io.ReadAll(object)
		require.NoError(t, err)
		assert.True(t, bytes.Equal(data, got), "%d bytes", len(got))
		_, err = object.Seek(-1000, io.SeekEnd)
		require.NoError(t, err)
		got, err = io.ReadAll(object)
		require.NoError(t, err)
		assert.True(t, bytes.Equal(data[len(data)-1000:], got))
		got = make([]byte, 10_000)
		_, err = object.ReadAt(got, 123_456)
		require.NoError(t, err)
		assert.True(t, bytes.Equal(data[123_456:][:10_000], got))
		require.NoError(t, object.Close())

		var options minio.GetObjectOptions
		require.NoError(t, options.SetRange(100, 199))
		object, err = client.GetObject(ctx, "bucket", key, options)
		require.NoError(t, err)
		got, err = io.ReadAll(object)
		require.NoError(t, err)
		assert.Equal(t, data[100:200], got)
		require.NoError(t, object.Close())

		// Closing early leaves a client that works.
		object, err = client.GetObject(ctx, "bucket", key, minio.GetObjectOptions{})
		require.NoError(t, err)
		_, err = object.Read(make([]byte, 10))
		require.NoError(t, err)
		require.NoError(t, object.Close())
		require.NoError(t, client.RemoveObject(ctx, "bucket", key, minio.RemoveObjectOptions{}))
		_, err = client.StatObject(ctx, "bucket", key, minio.StatObjectOptions{})
		assert.Equal(t, minio.NoSuchKey, minio.ToErrorResponse(err).Code)
	})
}

func TestS3Empty(t *testing.T) {
	each(t, testserver.Kinds, func(t *testing.T, c *client) {
		client, _ := s3Client(t, c, s3Secret)
		ctx := deadline(t)
		_, err := client.PutObject(ctx, "bucket", "empty", bytes.NewReader(nil), 0, minio.PutObjectOptions{})
		require.NoError(t, err)
		object, err := client.GetObject(ctx, "bucket", "empty", minio.GetObjectOptions{})
		require.NoError(t, err)
		defer object.Close()
		got, err := io.ReadAll(object)
		require.NoError(t, err)
		assert.Empty(t, got)
	})
}

func TestS3Multipart(t *testing.T) {
	const part = 5 << 20 // the smallest that S3 takes
	each(t, []testserver.Kind{testserver.Plain, testserver.H2}, func(t *testing.T, c *client) {
		client, server := s3Client(t, c, s3Secret)
		data := randomBytes(part + 1234)
		for name, source := range map[string]struct {
			io.Reader
			size int64
		}{
			"parts at the same time": {bytes.NewReader(data), int64(len(data))},
			"of unknown size":        {io.MultiReader(bytes.NewReader(data)), -1},
		} {
			t.Run(name, func(t *testing.T) {
				_, err := client.PutObject(deadline(t), "bucket", "large", source.Reader, source.size, minio.PutObjectOptions{PartSize: part, NumThreads: 2})
				require.NoError(t, err)
				server.mu.Lock()
				defer server.mu.Unlock()
				assert.True(t, bytes.Equal(data, server.objects["large"].data), "%d bytes", len(server.objects["large"].data))
			})
		}
		assert.Len(t, server.uploads, 2)
		assert.Len(t, server.uploads["upload-1"], 2)
	})
}

func TestS3List(t *testing.T) {
	each(t, testserver.Kinds, func(t *testing.T, c *client) {
		client, server := s3Client(t, c, s3Secret)
		ctx := deadline(t)
		want := []string{"list/a", "list/b c", "list/d+e", "list/f&g", "list/h"}
		for _, key := range append(want, "other") {
			_, err := client.PutObject(ctx, "bucket", key, bytes.NewReader([]byte(key)), int64(len(key)), minio.PutObjectOptions{})
			require.NoError(t, err)
		}
		server.requests = nil
		var keys []string
		for object := range client.ListObjects(ctx, "bucket", minio.ListObjectsOptions{Prefix: "list/", Recursive: true}) {
			require.NoError(t, object.Err)
			assert.Equal(t, int64(len(object.Key)), object.Size)
			keys = append(keys, object.Key)
		}
		assert.Equal(t, want, keys)
		assert.Equal(t, []string{"GET /bucket/", "GET /bucket/", "GET /bucket/"}, server.requests, "pages")
	})
}

// TestS3Errors: an error response with its document becomes an error of the library.
func TestS3Errors(t *testing.T) {
	each(t, testserver.Kinds, func(t *testing.T, c *client) {
		client, _ := s3Client(t, c, s3Secret)
		ctx := deadline(t)
		object, err := client.GetObject(ctx, "bucket", "missing", minio.GetObjectOptions{})
		require.NoError(t, err)
		_, err = io.ReadAll(object)
		var failed minio.ErrorResponse
		require.ErrorAs(t, err, &failed)
		assert.Equal(t, minio.NoSuchKey, failed.Code)
		assert.Equal(t, "the key does not exist", failed.Message)
		assert.Equal(t, http.StatusNotFound, failed.StatusCode)
		require.NoError(t, object.Close())

		client, server := s3Client(t, c, "wrong")
		_, err = client.PutObject(ctx, "bucket", "key", bytes.NewReader([]byte("data")), 4, minio.PutObjectOptions{})
		require.ErrorAs(t, err, &failed)
		assert.Equal(t, "SignatureDoesNotMatch", failed.Code)
		assert.Equal(t, http.StatusForbidden, failed.StatusCode)
		assert.Equal(t, []string{"PUT /bucket/key"}, server.requests)

		canceled, cancel := context.WithCancel(ctx)
		cancel()
		_, err = client.StatObject(canceled, "bucket", "key", minio.StatObjectOptions{})
		assert.ErrorIs(t, err, context.Canceled)
	})
}

// TestS3Retry: the library repeats a PUT of which the server says that it has no time.
func TestS3Retry(t *testing.T) {
	each(t, testserver.Kinds, func(t *testing.T, c *client) {
		client, server := s3Client(t, c, s3Secret)
		server.busy = 1
		data := randomBytes(200_000)
		_, err := client.PutObject(deadline(t), "bucket", "key", bytes.NewReader(data), int64(len(data)), minio.PutObjectOptions{})
		require.NoError(t, err)
		assert.Equal(t, []string{"PUT /bucket/key", "PUT /bucket/key"}, server.requests)
		assert.True(t, bytes.Equal(data, server.objects["key"].data))
	})
}
