# Reads cloud/stack, whose README.md describes it. Placeholders are replaced in the text: templatefile() would trip
# over the policy variables (${iot:...}). What stands under a key `local` counts on one machine only: nobody reads it.
locals {
  names = yamldecode(replace(replace(
    file("${var.folder}/names.yaml"),
    "$${account_id}", var.values.account_id),
    "$${prefix}", var.values.prefix,
  ))

  files = setunion(fileset(var.folder, "*.yaml"), fileset(var.folder, "*/*.{json,sql}"))

  text = { for name in local.files : name => replace(replace(replace(replace(replace(replace(replace(replace(replace(replace(replace(replace(
    file("${var.folder}/${name}"),
    "$${region}", var.values.region),
    "$${account_id}", var.values.account_id),
    "$${prefix}", var.values.prefix),
    "$${archive_bucket}", local.names.archive_bucket),
    "$${compacted_bucket}", local.names.compacted_bucket),
    "$${stations_table}", local.names.stations_table),
    "$${fleet_table}", local.names.fleet_table),
    "$${events_table}", local.names.events_table),
    "$${batteries_table}", local.names.batteries_table),
    "$${ledger_table}", local.names.ledger_table),
    "$${history_table}", local.names.history_table),
    "$${authorisations_table}", local.names.authorisations_table,
  ) }

  functions = yamldecode(local.text["functions.yaml"])

  roles = { for name in local.files : trimsuffix(basename(name), ".json") => jsondecode(local.text[name])
  if dirname(name) == "roles" }
}
