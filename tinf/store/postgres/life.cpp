#include "tinf/store/postgres/schema.h"
#include "tinf/store/postgres/shared.h"

namespace tinf::postgres {

// The table says in which life it was last written, and behind a '#' at which version that began.
void meet_life(Connection& connection, const Common& common) {
  const std::string life = life_of(connection);
  const StoreVersion told = common.progress.version();
  const Rows said = connection.run("SELECT version, split_part(life, '#', 1) FROM clock");
  if (said.size() == 0) {
    throw Failure{Error(Code::Invalid, "database " + connection.name() + ": the table clock of the schema " +
                                           common.settings.schema + " is empty: restore it, or drop the schema"),
                  true};
  }
  if (said.text(0, 1) == life && static_cast<StoreVersion>(said.number(0, 0)) >= told) return;
  if (said.text(0, 1).empty() && told == 0) {  // It was just made.
    connection.run("UPDATE clock SET life = $1 || '#' || version WHERE life = ''", Values().add(life));
    return;
  }
  // More than is written between two losses, and more than any other life of this database has told by now.
  connection.run(
      "WITH past AS (SELECT greatest(greatest(version, $2) + 4294967296, (extract(epoch FROM now()) * 1000000)::bigint)"
      " AS any FROM clock FOR UPDATE),"
      " gone_on AS (UPDATE clock SET life = $1 || '#' || past.any, version = past.any, floor = past.any, log_bytes = 0,"
      " roster = roster + 1 FROM past WHERE split_part(life, '#', 1) <> $1 OR version < $2 RETURNING 1)"
      " DELETE FROM process WHERE EXISTS (SELECT FROM gone_on)",
      Values().add(life).add(told));
}

}  // namespace tinf::postgres
