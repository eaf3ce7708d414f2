// Package metrics keeps the times of API requests: what every request adds to has to be cheap.
package metrics
