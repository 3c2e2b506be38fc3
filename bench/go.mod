module github.com/netreply/netreply/bench

go 1.26.0

require (
	github.com/carlmjohnson/requests v0.23.5
	github.com/dghubble/sling v1.4.2
	github.com/go-resty/resty/v2 v2.17.2
	github.com/hashicorp/go-retryablehttp v0.7.8
	github.com/valyala/fasthttp v1.69.0
	golang.org/x/net v0.62.0 // indirect
	gopkg.in/h2non/gentleman.v2 v2.0.5
	resty.dev/v3 v3.0.0-rc.4
)

require (
	github.com/Azure/go-ntlmssp v0.1.1 // indirect
	github.com/andybalholm/brotli v1.2.8 // indirect
	github.com/google/go-querystring v1.1.0 // indirect
	github.com/hashicorp/go-cleanhttp v0.5.2 // indirect
	github.com/nbio/st v0.0.0-20140626010706-e9e8d9816f32 // indirect
	github.com/valyala/bytebufferpool v1.0.0 // indirect
	golang.org/x/text v0.43.0 // indirect
)

require (
	github.com/gregjones/httpcache v0.0.0-20190611155906-901d90724c79
	github.com/klauspost/compress v1.20.3
	github.com/netreply/netreply v0.0.0
)

replace github.com/netreply/netreply => ../
