#include "tinf/store/postgres/schema.h"
#include "tinf/store/postgres/shared.h"

namespace tinf::postgres {

void meet_life(Connection& connection, const Common& common) {
  const std::string life = life_of(connection);
  const StoreVersion told = common.progress.version();
  const Rows said = connection.run("SELECT version, life FROM clock");
  if (said.size() == 0) {
    throw Failure{Error(Code::Invalid, "database " + connection.name() + ": the table clock of the schema " +
                                           common.settings.schema + " is empty: restore it, or drop the schema"),
                  true};
  }
  if (said.text(0, 1) == life && static_cast<StoreVersion>(said.number(0, 0)) >= told) return;
  Values values;
  values.add(life).add(told);
  if (said.text(0, 1).empty() && told == 0) {  // It was just made.
    connection.run("UPDATE clock SET life = $1 WHERE life = ''", Values().add(life));
    return;
  }
  // More than is written between two losses, and more than any other life of this database has told by now.
  connection.send_quietly(
      "WITH gone_on AS ("
      " UPDATE clock SET life = $1, log_bytes = 0, roster = roster + 1,"
      " version = greatest(greatest(version, $2) + 4294967296, (extract(epoch FROM now()) * 1000000)::bigint),"
      " floor = greatest(greatest(version, $2) + 4294967296, (extract(epoch FROM now()) * 1000000)::bigint)"
      " WHERE life <> $1 OR version < $2 RETURNING 1)"
      " DELETE FROM process WHERE EXISTS (SELECT FROM gone_on)",
      values);
  connection.finish();
}

}  // namespace tinf::postgres
