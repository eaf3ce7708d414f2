#!/bin/sh
# Makes the MariaDB of FAILOVER_ADDRESS and FAILOVER_PORT a read-only replica of the one of
# FAILOVER_PRIMARY_ADDRESS and FAILOVER_PRIMARY_PORT. One that was writable ends its clients'
# connections, and waits until the other one has everything. FAILOVER_DEFAULTS is a file with user
# and password for the client, REPLICATION_USER and REPLICATION_PASSWORD are for the replica.
set -eu
on() { # ADDRESS PORT SQL
	${MARIADB:-mariadb} --defaults-file="$FAILOVER_DEFAULTS" --connect-timeout=2 -N -h "$1" -P "$2" -e "$3"
}
here() { on "$FAILOVER_ADDRESS" "$FAILOVER_PORT" "$1"; }

if [ "$(here 'SELECT @@global.read_only')" = 0 ]; then
	here "SET GLOBAL read_only = 1"
	here "SELECT CONCAT('KILL ', id, ';') FROM information_schema.processlist
		WHERE id <> CONNECTION_ID() AND user NOT IN ('system user', '$REPLICATION_USER') AND command <> 'Binlog Dump'" |
		while read -r kill; do here "$kill" || true; done
	written=$(here 'SELECT @@gtid_binlog_pos')
	if [ -n "$written" ]; then
		got=$(on "$FAILOVER_PRIMARY_ADDRESS" "$FAILOVER_PRIMARY_PORT" "SELECT MASTER_GTID_WAIT('$written', 5)")
		[ "$got" = 0 ] || { echo "$FAILOVER_PRIMARY_ADDRESS does not have all up to $written" >&2; exit 1; }
	fi
fi
here "STOP SLAVE;
	CHANGE MASTER TO MASTER_HOST = '$FAILOVER_PRIMARY_ADDRESS', MASTER_PORT = $FAILOVER_PRIMARY_PORT, MASTER_USER = '$REPLICATION_USER',
		MASTER_PASSWORD = '$REPLICATION_PASSWORD', MASTER_CONNECT_RETRY = 1, MASTER_USE_GTID = current_pos;
	START SLAVE"
