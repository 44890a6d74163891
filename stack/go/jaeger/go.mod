// Builds Jaeger, whose own module refuses `go install` because of its replace line, repeated here.
module stack/go/jaeger

go 1.22.0

tool github.com/jaegertracing/jaeger/cmd/all-in-one

require github.com/jaegertracing/jaeger v1.62.0

replace github.com/Shopify/sarama => github.com/Shopify/sarama v1.33.0
