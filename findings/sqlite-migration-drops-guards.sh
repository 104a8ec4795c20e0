#!/usr/bin/env bash
# Tools: Alembic 1.20.1, Django 5.2.19, sqlite-utils 4.2.1 (Python); Knex 3.3.0, Sequelize 6.37.8, TypeORM 1.1.1 (Node.js). Each changes the
#   type or the default of one text column in a SQLite database, the way its manual says; foreign keys are enforced.
# Expected: the column is changed and nothing else. An audit table made append-only by two triggers stays so; rows of other tables stay.
# Happens: SQLite cannot alter a column, so all six copy the table, drop it and rename the copy, and none writes its triggers again: the audit
#   table takes updates and deletes from then on. With Alembic, Sequelize and TypeORM the drop of the parent table also deletes every row
#   that refers to it with ON DELETE CASCADE. No error, no warning, in any of them.
# Hurts: an unrelated migration years later makes the audit trail changeable, or deletes all notes of all calls in production, while the
#   tests, whose tables are empty and made anew, stay green.
# Instead: list the triggers of sqlite_master before and after each migration and count the rows of each table, in the migration itself; write
#   the triggers again; run Alembic's, Sequelize's and TypeORM's changes with `PRAGMA foreign_keys=OFF`, set before the transaction.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
changed() { echo "CHANGED: $1" >&2; exit 1; }

python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check alembic==1.20.1 sqlalchemy==2.1.9 django==5.2.19 sqlite-utils==4.2.1
npm install --silent --no-fund --no-audit knex@3.3.0 sequelize@6.37.8 typeorm@1.1.1 sqlite3@6.0.1 sql.js@1.17.0 2>npm.log || { cat npm.log >&2; exit 1; }

cat >make.py <<'PY'
import sqlite3
for name in ("alembic", "django", "sqlite-utils", "knex", "sequelize", "typeorm"):
    sqlite3.connect(name + ".db").executescript("""
        create table calls (id integer primary key, caller text not null);
        create table notes (id integer primary key, call_id integer references calls (id) on delete cascade, note text not null);
        create table audit (id integer primary key, what text not null);
        create trigger audit_no_update before update on audit begin select raise(abort, 'append only'); end;
        create trigger audit_no_delete before delete on audit begin select raise(abort, 'append only'); end;
        insert into calls values (1, 'caller one'), (2, 'caller two');
        insert into notes values (1, 1, 'note one'), (2, 2, 'note two');
        insert into audit values (1, 'read'), (2, 'read');""")
PY
cat >tell.py <<'PY'
import sqlite3
for name in ("alembic", "django", "sqlite-utils", "knex", "sequelize", "typeorm"):
    db = sqlite3.connect(name + ".db")
    count = lambda what: db.execute("select count(*) from " + what).fetchone()[0]
    counts = f"triggers {count('sqlite_master where type = ' + repr('trigger'))}, calls {count('calls')}, notes {count('notes')}, audit {count('audit')}"
    try:
        db.execute("update audit set what = 'nothing'")
        print(f"{name}: {counts}, an update of the audit table is taken")
    except sqlite3.IntegrityError as error:
        print(f"{name}: {counts}, an update of the audit table is refused: {error}")
PY
cat >alter.py <<'PY'
import django, sqlalchemy, sqlite_utils
from alembic.migration import MigrationContext
from alembic.operations import Operations
from django.conf import settings

engine = sqlalchemy.create_engine("sqlite:///alembic.db")
sqlalchemy.event.listen(engine, "connect", lambda connection, _: connection.execute("pragma foreign_keys=on"))
with engine.begin() as connection:
    for table, column in (("audit", "what"), ("calls", "caller")):
        with Operations(MigrationContext.configure(connection)).batch_alter_table(table) as batch:
            batch.alter_column(column, type_=sqlalchemy.String(400))

settings.configure(DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": "django.db"}})
django.setup()
from django.db import connection, models
audit = type("Audit", (models.Model,), {"__module__": "x", "what": models.TextField(), "Meta": type("Meta", (), {"app_label": "x", "db_table": "audit"})})
calls = type("Call", (models.Model,), {"__module__": "x", "caller": models.TextField(), "Meta": type("Meta", (), {"app_label": "x", "db_table": "calls"})})
with connection.schema_editor() as editor:
    for model, column in ((audit, "what"), (calls, "caller")):
        field = models.CharField(max_length=400)
        field.set_attributes_from_name(column)
        field.model = model
        editor.alter_field(model, model._meta.get_field(column), field)

db = sqlite_utils.Database("sqlite-utils.db")
db.execute("pragma foreign_keys=on")
db["audit"].transform(defaults={"what": ""})
db["calls"].transform(defaults={"caller": ""})
db.close()
PY
cat >alter.cjs <<'JS'
const columns = [["audit", "what"], ["calls", "caller"]];
(async () => {
  const knex = require("knex")({
    client: "sqlite3", connection: { filename: "knex.db" }, useNullAsDefault: true,
    pool: { min: 1, max: 1, afterCreate: (connection, done) => connection.run("PRAGMA foreign_keys=ON", done) },
  });
  for (const [table, column] of columns) await knex.schema.alterTable(table, (t) => { t.string(column, 400).notNullable().alter(); });
  await knex.destroy();

  const { Sequelize, DataTypes } = require("sequelize");
  const sequelize = new Sequelize({ dialect: "sqlite", storage: "sequelize.db", logging: false });
  for (const [table, column] of columns) await sequelize.getQueryInterface().changeColumn(table, column, { type: DataTypes.STRING(400), allowNull: false });
  await sequelize.close();

  const { DataSource, TableColumn } = require("typeorm");
  const source = await new DataSource({ type: "sqljs", location: "typeorm.db", autoSave: true }).initialize();
  const runner = source.createQueryRunner();
  for (const [table, name] of columns) await runner.changeColumn(table, name, new TableColumn({ name, type: "varchar", length: "400", isNullable: false }));
  await source.driver.save();
  await source.destroy();
})();
JS
venv/bin/python make.py
venv/bin/python tell.py | sed -n 's/^alembic/before/p' | tee before.txt
venv/bin/python alter.py
node alter.cjs
seen=$(venv/bin/python tell.py)
echo "$seen"
[ "$(cat before.txt)
$seen" = "before: triggers 2, calls 2, notes 2, audit 2, an update of the audit table is refused: append only
alembic: triggers 0, calls 2, notes 0, audit 2, an update of the audit table is taken
django: triggers 0, calls 2, notes 2, audit 2, an update of the audit table is taken
sqlite-utils: triggers 0, calls 2, notes 2, audit 2, an update of the audit table is taken
knex: triggers 0, calls 2, notes 2, audit 2, an update of the audit table is taken
sequelize: triggers 0, calls 2, notes 0, audit 2, an update of the audit table is taken
typeorm: triggers 0, calls 2, notes 0, audit 2, an update of the audit table is taken" ] || changed "other triggers or rows are left"
echo "as described"
