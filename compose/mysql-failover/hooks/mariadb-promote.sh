#!/bin/sh
# Makes the MariaDB of FAILOVER_ADDRESS and FAILOVER_PORT the writable primary, once it has applied
# all that it had received. FAILOVER_DEFAULTS is a file with user and password for the client.
set -eu
sql() {
	${MARIADB:-mariadb} --defaults-file="$FAILOVER_DEFAULTS" --connect-timeout=3 -h "$FAILOVER_ADDRESS" -P "$FAILOVER_PORT" -e "$1"
}

sql "STOP SLAVE IO_THREAD"
received=$(sql "SHOW SLAVE STATUS\G" | sed -n 's/^ *Gtid_IO_Pos: *//p')
if [ -n "$received" ]; then
	applied=$(sql "SELECT MASTER_GTID_WAIT('$received', 5) AS applied\G" | sed -n 's/^ *applied: *//p')
	[ "$applied" = 0 ] || { echo "did not apply up to $received within 5 s" >&2; exit 1; }
fi
sql "STOP SLAVE; RESET SLAVE ALL; SET GLOBAL read_only = 0"
