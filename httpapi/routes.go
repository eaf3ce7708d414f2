package httpapi

// routes is the table of all paths. What it does not have is answered with 404.
func routes() []route {
	var all []route
	for _, part := range [][]route{agentRoutes(), agentWriteRoutes(), agentControlRoutes(), catalogRoutes(),
		healthRoutes(), kvRoutes(), sessionRoutes(), eventRoutes(), txnRoutes(), coordinateRoutes(), queryRoutes(), operatorRoutes(), statusRoutes(), aclRoutes()} {
		all = append(all, part...)
	}
	return all
}

func agentRoutes() []route {
	return []route{
		{path: "/v1/agent/self", methods: "GET", access: Access{Resource: "agent", Verb: Read}, handle: agentSelf, tenancy: tenancyIgnored},
		{path: "/v1/agent/version", methods: "GET", access: Access{Resource: "agent", Verb: Read}, handle: agentVersion, tenancy: tenancyIgnored},
		{path: "/v1/agent/members", methods: "GET", access: Access{Resource: "node", Verb: List}, handle: agentMembers, tenancy: tenancyPartition},
		{path: "/v1/agent/services", methods: "GET", access: Access{Resource: "service", Verb: List}, handle: agentServices},
		{path: "/v1/agent/service/", methods: "GET", access: Access{Resource: "service", Verb: Read}, handle: agentServiceByID},
		{path: "/v1/agent/checks", methods: "GET", access: Access{Resource: "service", Verb: List}, handle: agentChecks},
		{path: "/v1/agent/health/service/id/", methods: "GET", access: Access{Resource: "service", Verb: Read}, handle: agentHealthByID},
		{path: "/v1/agent/health/service/name/", methods: "GET", access: Access{Resource: "service", Verb: Read}, handle: agentHealthByName},
		{path: "/v1/agent/host", methods: "GET", access: Access{Resource: "operator", Verb: Read}, handle: agentHost, tenancy: tenancyIgnored},
		{path: "/v1/agent/metrics", methods: "GET", access: Access{Resource: "agent", Verb: Read}, handle: agentMetrics, tenancy: tenancyIgnored},
		{path: "/v1/agent/metrics/stream", methods: "GET", access: Access{Resource: "agent", Verb: Read}, handle: agentMetricsStream, tenancy: tenancyIgnored},
		{path: "/v1/agent/monitor", methods: "GET", access: Access{Resource: "agent", Verb: Read}, handle: agentMonitor, tenancy: tenancyIgnored},
		{path: "/v1/agent/explain", methods: "GET", access: Access{Resource: "agent", Verb: Read}, handle: agentExplain},
	}
}

func agentWriteRoutes() []route {
	return []route{
		{path: "/v1/agent/service/register", methods: "PUT", handle: agentServiceRegister, asks: true},
		{path: "/v1/agent/service/deregister/", methods: "PUT", access: Access{Resource: "service", Verb: Write}, handle: agentServiceDeregister},
		{path: "/v1/agent/service/maintenance/", methods: "PUT", access: Access{Resource: "service", Verb: Write}, handle: agentServiceMaintenance},
		{path: "/v1/agent/maintenance", methods: "PUT", access: Access{Resource: "node", Verb: Write}, handle: agentMaintenance},
		{path: "/v1/agent/check/register", methods: "PUT", handle: agentCheckRegister, asks: true},
		{path: "/v1/agent/check/deregister/", methods: "PUT", access: Access{Resource: "service", Verb: Write}, handle: agentCheckDeregister},
		{path: "/v1/agent/check/pass/", methods: "PUT", access: Access{Resource: "service", Verb: Write}, handle: agentCheckPass},
		{path: "/v1/agent/check/warn/", methods: "PUT", access: Access{Resource: "service", Verb: Write}, handle: agentCheckWarn},
		{path: "/v1/agent/check/fail/", methods: "PUT", access: Access{Resource: "service", Verb: Write}, handle: agentCheckFail},
		{path: "/v1/agent/check/update/", methods: "PUT", access: Access{Resource: "service", Verb: Write}, handle: agentCheckUpdate},
	}
}

func agentControlRoutes() []route {
	return []route{
		{path: "/v1/agent/join/", methods: "PUT", access: Access{Resource: "agent", Verb: Write}, handle: agentJoin, tenancy: tenancyPartition},
		{path: "/v1/agent/leave", methods: "PUT", access: Access{Resource: "agent", Verb: Write}, handle: agentLeave, tenancy: tenancyIgnored},
		{path: "/v1/agent/force-leave/", methods: "PUT", access: Access{Resource: "operator", Verb: Write}, handle: agentForceLeave, tenancy: tenancyPartition},
		{path: "/v1/agent/reload", methods: "PUT", access: Access{Resource: "agent", Verb: Write}, handle: agentReload, tenancy: tenancyIgnored},
		{path: "/v1/agent/token/", methods: "PUT", access: Access{Resource: "agent", Verb: Write}, handle: agentToken, tenancy: tenancyIgnored},
	}
}

func catalogRoutes() []route {
	read := func(path, resource string, h handler) route {
		return route{path: path, methods: "GET", place: onRead, access: Access{Resource: resource, Verb: Read}, handle: h, effective: true, discovery: true, prepare: resolveNear}
	}
	nodes := read("/v1/catalog/nodes", "node", catalogNodes)
	nodes.tenancy = tenancyPartition
	services, service := read("/v1/catalog/services", "service", catalogServices), read("/v1/catalog/service/", "service", catalogService)
	services.cacheable, service.cacheable = true, true
	return []route{
		{path: "/v1/catalog/register", methods: "PUT", place: onWrite, handle: catalogRegister, prepare: placeRegistration, asks: true},
		{path: "/v1/catalog/deregister", methods: "PUT", place: onWrite, handle: catalogDeregister, prepare: placeDeregistration, asks: true},
		{path: "/v1/catalog/datacenters", methods: "GET", place: onServer, access: Access{Resource: "node", Verb: List}, handle: catalogDatacenters, tenancy: tenancyIgnored},
		nodes, services, service,
		read("/v1/catalog/node/", "node", catalogNode),
		read("/v1/catalog/node-services/", "node", catalogNodeServices),
	}
}

func healthRoutes() []route {
	read := func(path, resource string, h handler) route {
		return route{path: path, methods: "GET", place: onRead, access: Access{Resource: resource, Verb: Read}, handle: h, effective: true, discovery: true, prepare: resolveNear}
	}
	service := read("/v1/health/service/", "service", healthService)
	service.cacheable = true
	return []route{
		service,
		read("/v1/health/node/", "node", healthNode),
		read("/v1/health/checks/", "service", healthChecks),
		read("/v1/health/state/", "service", healthState),
	}
}

func kvRoutes() []route {
	return []route{
		{path: "/v1/kv/", methods: "GET", place: onRead, access: Access{Resource: "key", Verb: Read}, handle: kvGet},
		{path: "/v1/kv/", methods: "PUT", place: onWrite, access: Access{Resource: "key", Verb: Write}, handle: kvPut, limit: limitKV, binary: true},
		{path: "/v1/kv/", methods: "DELETE", place: onWrite, access: Access{Resource: "key", Verb: Write}, handle: kvDelete},
	}
}

func sessionRoutes() []route {
	return []route{
		{path: "/v1/session/create", methods: "PUT", place: onWrite, access: Access{Resource: "session", Verb: Write}, handle: sessionCreate, prepare: prepareSession},
		{path: "/v1/session/destroy/", methods: "PUT", place: onWrite, access: Access{Resource: "session", Verb: Write}, handle: sessionDestroy},
		{path: "/v1/session/renew/", methods: "PUT", place: onWrite, access: Access{Resource: "session", Verb: Write}, handle: sessionRenew},
		{path: "/v1/session/info/", methods: "GET", place: onRead, access: Access{Resource: "session", Verb: Read}, handle: sessionInfo},
		{path: "/v1/session/node/", methods: "GET", place: onRead, access: Access{Resource: "session", Verb: Read}, handle: sessionNode},
		{path: "/v1/session/list", methods: "GET", place: onRead, access: Access{Resource: "session", Verb: List}, handle: sessionList},
	}
}

func statusRoutes() []route {
	return []route{
		{path: "/v1/status/leader", methods: "GET", place: onServer, access: Access{Resource: "operator", Verb: Read}, handle: statusLeader, tenancy: tenancyIgnored},
		{path: "/v1/status/peers", methods: "GET", place: onServer, access: Access{Resource: "operator", Verb: Read}, handle: statusPeers, tenancy: tenancyIgnored},
	}
}

func eventRoutes() []route {
	return []route{
		{path: "/v1/event/fire/", methods: "PUT", place: onAgentOrDC, access: Access{Resource: "event", Verb: Write}, handle: eventFire, tenancy: tenancyIgnored, binary: true},
		{path: "/v1/event/list", methods: "GET", access: Access{Resource: "event", Verb: List}, handle: eventList, tenancy: tenancyIgnored},
	}
}

func txnRoutes() []route {
	return []route{
		{path: "/v1/txn", methods: "PUT", place: onWrite, handle: txnApply, prepare: prepareTxn, limit: limitTxn, asks: true},
	}
}

func coordinateRoutes() []route {
	return []route{
		{path: "/v1/coordinate/datacenters", methods: "GET", place: onServer, access: Access{Resource: "node", Verb: List}, handle: coordinateDatacenters, tenancy: tenancyIgnored},
		{path: "/v1/coordinate/nodes", methods: "GET", place: onRead, access: Access{Resource: "node", Verb: List}, handle: coordinateNodes, tenancy: tenancyPartition},
		{path: "/v1/coordinate/node/", methods: "GET", place: onRead, access: Access{Resource: "node", Verb: Read}, handle: coordinateNode, tenancy: tenancyPartition},
		{path: "/v1/coordinate/update", methods: "PUT", place: onWrite, handle: coordinateUpdate, tenancy: tenancyPartition, asks: true},
	}
}

func queryRoutes() []route {
	return []route{
		{path: "/v1/query", methods: "GET", place: onRead, access: Access{Resource: "query", Verb: List}, handle: queryList, tenancy: tenancyIgnored, effective: true},
		{path: "/v1/query", methods: "POST", place: onWrite, handle: queryCreate, tenancy: tenancyIgnored, asks: true},
		{path: "/v1/query/", methods: "GET", place: onRead, access: Access{Resource: "query", Verb: Read}, handle: queryGet, tenancy: tenancyIgnored, effective: true, cacheable: true, prepare: noteSource},
		{path: "/v1/query/", methods: "PUT,DELETE", place: onWrite, access: Access{Resource: "query", Verb: Write}, handle: queryChange, tenancy: tenancyIgnored},
	}
}

func operatorRoutes() []route {
	read, write := Access{Resource: "operator", Verb: Read}, Access{Resource: "operator", Verb: Write}
	return []route{
		{path: "/v1/operator/raft/configuration", methods: "GET", place: onRead, access: read, handle: raftConfiguration, tenancy: tenancyIgnored},
		{path: "/v1/operator/raft/transfer-leader", methods: "POST", place: onWrite, access: write, handle: raftTransferLeader, tenancy: tenancyIgnored},
		{path: "/v1/operator/raft/peer", methods: "DELETE", place: onWrite, access: write, handle: raftRemovePeer, tenancy: tenancyIgnored},
		{path: "/v1/operator/keyring", methods: "GET", place: onServer, access: Access{Resource: "keyring", Verb: Read}, handle: keyring, tenancy: tenancyIgnored},
		{path: "/v1/operator/keyring", methods: "POST,PUT,DELETE", place: onServer, access: Access{Resource: "keyring", Verb: Write}, handle: keyring, tenancy: tenancyIgnored},
		{path: "/v1/operator/autopilot/configuration", methods: "GET", place: onRead, access: read, handle: autopilotConfig, tenancy: tenancyIgnored},
		{path: "/v1/operator/autopilot/configuration", methods: "PUT", place: onWrite, access: write, handle: autopilotSet, tenancy: tenancyIgnored},
		{path: "/v1/operator/autopilot/health", methods: "GET", place: onWrite, access: read, handle: autopilotHealth, tenancy: tenancyIgnored},
		{path: "/v1/operator/autopilot/state", methods: "GET", place: onWrite, access: read, handle: autopilotState, tenancy: tenancyIgnored},
		{path: "/v1/operator/usage", methods: "GET", place: onRead, access: read, handle: operatorUsage, tenancy: tenancyPartition, effective: true},
		{path: "/v1/snapshot", methods: "GET", place: onRead, access: read, handle: snapshotSave, tenancy: tenancyIgnored},
		{path: "/v1/snapshot", methods: "PUT", place: onWrite, access: write, handle: snapshotRestore, tenancy: tenancyIgnored, limit: limitStream, binary: true},
	}
}
