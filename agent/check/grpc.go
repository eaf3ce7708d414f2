package check

import (
	"context"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"

	"berth"
)

type grpcRunner struct {
	target  string // as in the definition
	addr    string
	service string
	creds   credentials.TransportCredentials
	timeout time.Duration
}

func (r *Runners) newGRPC(def *berth.CheckDefinition, timeout time.Duration) *grpcRunner {
	g := &grpcRunner{target: def.GRPC, creds: insecure.NewCredentials(), timeout: timeout}
	g.addr, g.service, _ = strings.Cut(def.GRPC, "/")
	if def.GRPCUseTLS {
		g.creds = credentials.NewTLS(r.tlsConfig(def))
	}
	return g
}

// Run asks the gRPC health protocol over a new connection.
func (g *grpcRunner) Run(ctx context.Context) Result {
	ctx, cancel := context.WithTimeout(ctx, g.timeout)
	defer cancel()
	conn, err := grpc.NewClient("passthrough:///"+g.addr,
		grpc.WithTransportCredentials(g.creds), grpc.WithUserAgent("Consul Health Check"), grpc.WithDisableServiceConfig())
	if err != nil {
		return critical("gRPC check %s: %v", g.target, err)
	}
	defer conn.Close()
	resp, err := healthpb.NewHealthClient(conn).Check(ctx, &healthpb.HealthCheckRequest{Service: g.service})
	if err != nil {
		return critical("gRPC check %s: %v", g.target, err)
	}
	if resp.GetStatus() != healthpb.HealthCheckResponse_SERVING {
		return critical("gRPC check %s: status is %s", g.target, resp.GetStatus())
	}
	return passing("gRPC check %s: success", g.target)
}
