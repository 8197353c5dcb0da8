-- One service's place in the database: a schema that SERVICE_owner owns and migrates, and in which SERVICE works.
-- Run as the superuser in `shop`, once per service and again whenever you like; it sets the passwords anew.
-- Environment: SERVICE, OWNER_PASSWORD, PASSWORD.
\getenv service SERVICE
\getenv owner_password OWNER_PASSWORD
\getenv password PASSWORD
\set owner :service _owner

BEGIN;
-- Two runs at once would race for the same rows of the catalogue.
SELECT pg_advisory_xact_lock(7042001) \g /dev/null

SELECT format('CREATE ROLE %I LOGIN', role)
  FROM unnest(ARRAY[:'service', :'owner']) AS role
 WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = role) \gexec
ALTER ROLE :"owner" PASSWORD :'owner_password';
ALTER ROLE :"service" PASSWORD :'password';

-- Nothing for everybody: a role can enter its own schema and no other.
REVOKE ALL ON DATABASE shop FROM PUBLIC;
REVOKE ALL ON SCHEMA public FROM PUBLIC;
GRANT CONNECT ON DATABASE shop TO :"service";
GRANT CONNECT, TEMPORARY ON DATABASE shop TO :"owner";

CREATE SCHEMA IF NOT EXISTS :"service" AUTHORIZATION :"owner";
GRANT USAGE ON SCHEMA :"service" TO :"service";
ALTER DEFAULT PRIVILEGES FOR ROLE :"owner" IN SCHEMA :"service"
  GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO :"service";
ALTER DEFAULT PRIVILEGES FOR ROLE :"owner" IN SCHEMA :"service" GRANT USAGE, SELECT ON SEQUENCES TO :"service";

ALTER ROLE :"owner" IN DATABASE shop SET search_path = :"service";
ALTER ROLE :"service" IN DATABASE shop SET search_path = :"service";
-- A migration that cannot get its lock gives up rather than queue everybody behind it.
ALTER ROLE :"owner" IN DATABASE shop SET lock_timeout = '5s';
COMMIT;
