package rediscache

import (
	"context"
	"iter"
	"strings"
	"sync"

	"github.com/redis/go-redis/v9"

	"github.com/netreply/netreply/httpcache"
)

// scanCount is how many keys Redis looks at in one exchange.
const scanCount = 1000

var globEscaper = strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`, `]`, `\]`)

// indexes calls f with the fields of each index, until it returns false.
func (s *Store) indexes(ctx context.Context, f func(hash, key string, fields map[string]string) bool) error {
	nodes, err := s.nodes(ctx)
	if err != nil {
		return err
	}
	pattern := globEscaper.Replace(s.o.Prefix) + "{*}" // "}" at the end: of an index
	for _, node := range nodes {
		for cursor := uint64(0); ; {
			var names []string
			err := s.call(ctx, true, func(ctx context.Context) (err error) {
				names, cursor, err = node.Scan(ctx, cursor, pattern, scanCount).Result()
				return err
			})
			if err != nil {
				return err
			}
			all := make([]*redis.MapStringStringCmd, len(names))
			err = s.call(ctx, true, func(ctx context.Context) error {
				gets := s.client.Pipeline()
				for i, name := range names {
					all[i] = gets.HGetAll(ctx, name)
				}
				_, err := gets.Exec(ctx)
				return err
			})
			if err != nil && !isWrongType(err) {
				return err
			}
			for i, name := range names {
				fields := all[i].Val()
				key, ok := fields[keyField]
				if ok && name == s.index(hashOf(key)) && !f(hashOf(key), key, fields) {
					return nil
				}
			}
			if cursor == 0 {
				break
			}
		}
	}
	return nil
}

// nodes are the servers that have keys.
func (s *Store) nodes(ctx context.Context) ([]redis.Cmdable, error) {
	cluster, ok := s.client.(*redis.ClusterClient)
	if !ok {
		return []redis.Cmdable{s.client}, nil
	}
	var mu sync.Mutex
	var list []redis.Cmdable
	err := s.call(ctx, true, func(ctx context.Context) error {
		return cluster.ForEachMaster(ctx, func(_ context.Context, c *redis.Client) error {
			mu.Lock()
			defer mu.Unlock()
			list = append(list, c)
			return nil
		})
	})
	return list, err
}

// RemovePrefix removes the entries of all keys that begin with prefix.
func (s *Store) RemovePrefix(ctx context.Context, prefix string) error {
	var failed error
	err := s.indexes(ctx, func(hash, key string, _ map[string]string) bool {
		if strings.HasPrefix(key, prefix) {
			failed = s.removeIndex(ctx, hash)
		}
		return failed == nil
	})
	if failed != nil {
		return failed
	}
	return err
}

// All yields all entries. An entry may come twice while others are stored.
func (s *Store) All(ctx context.Context) iter.Seq2[string, httpcache.Entry] {
	return func(yield func(string, httpcache.Entry) bool) {
		s.indexes(ctx, func(hash, key string, fields map[string]string) bool {
			for _, e := range s.entries(hash, key, fields) {
				if !yield(key, e) {
					return false
				}
			}
			return true
		})
	}
}

// Size adds up the sizes of all entries.
func (s *Store) Size(ctx context.Context) (size int64, err error) {
	err = s.indexes(ctx, func(_, key string, fields map[string]string) bool {
		size += int64(len(key))
		for id, value := range fields {
			if v, ok := parseVariant(value); ok && id != keyField {
				size += v.size + int64(len(id)+len(value)) + v.parts()*sumSize
			}
		}
		return true
	})
	return size, err
}
