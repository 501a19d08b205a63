# The history in Athena: tables over what lies in S3, with projected partitions, and a view that shows each message once.
locals {
  # Hive's and Presto's names for how the files are read.
  formats = {
    json = {
      input          = "org.apache.hadoop.mapred.TextInputFormat"
      output         = "org.apache.hadoop.hive.ql.io.HiveIgnoreKeyTextOutputFormat"
      library        = "org.openx.data.jsonserde.JsonSerDe"
      settings       = { "ignore.malformed.json" = "true" }
      classification = "json"
    }
    # A list of files in the place of files: what AWS documents for S3 inventories.
    parquet = {
      input          = "org.apache.hadoop.hive.ql.io.SymlinkTextInputFormat"
      output         = "org.apache.hadoop.hive.ql.io.HiveIgnoreKeyTextOutputFormat"
      library        = "org.apache.hadoop.hive.ql.io.parquet.serde.ParquetHiveSerDe"
      settings       = { "serialization.format" = "1" }
      classification = "parquet"
    }
  }

  partitions = ["year", "month", "day"]

  # The types of a view are Presto's.
  presto_structures = { for type in distinct(flatten([for view in var.analytics.views : values(view.columns)])) : type =>
    replace(replace(replace(replace(replace(type, "struct<", "row("), "array<", "array("), "map<", "map("), ">", ")"), ":", " ")
  }
  presto = { for type, structure in local.presto_structures : type =>
    replace(replace(replace(structure, "/\\bstring\\b/", "varchar"), "/\\bint\\b/", "integer"), "/\\btimestamp\\b/", "timestamp(3)")
  }
}

resource "aws_glue_catalog_database" "this" {
  name        = var.analytics.database.name
  description = var.analytics.database.description
}

resource "aws_glue_catalog_table" "this" {
  for_each = var.analytics.tables

  name          = each.key
  database_name = aws_glue_catalog_database.this.name
  description   = each.value.description
  table_type    = "EXTERNAL_TABLE"

  parameters = merge(
    {
      "EXTERNAL"           = "TRUE"
      "classification"     = local.formats[each.value.format].classification
      "projection.enabled" = "true"
    },
    { for name in local.partitions : "projection.${name}.type" => "integer" },
    { for name in local.partitions : "projection.${name}.range" => each.value.partitions[name].range },
    { for name in local.partitions : "projection.${name}.digits" => tostring(each.value.partitions[name].digits) },
  )

  dynamic "partition_keys" {
    for_each = local.partitions

    content {
      name = partition_keys.value
      type = "int"
    }
  }

  storage_descriptor {
    location      = each.value.location
    input_format  = local.formats[each.value.format].input
    output_format = local.formats[each.value.format].output

    ser_de_info {
      serialization_library = local.formats[each.value.format].library
      parameters            = local.formats[each.value.format].settings
    }

    # By name: both formats look columns up by it.
    dynamic "columns" {
      for_each = each.value.columns

      content {
        name = columns.key
        type = columns.value
      }
    }
  }
}

resource "aws_glue_catalog_table" "view" {
  for_each = var.analytics.views

  name               = each.key
  database_name      = aws_glue_catalog_database.this.name
  description        = each.value.description
  table_type         = "VIRTUAL_VIEW"
  parameters         = { "presto_view" = "true", "comment" = "Presto View" }
  view_expanded_text = "/* Presto View */"

  view_original_text = format("/* Presto View: %s */", base64encode(jsonencode({
    catalog     = "awsdatacatalog"
    schema      = var.analytics.database.name
    originalSql = each.value.sql
    columns = concat(
      [for name in local.selected[each.key] : { name = name, type = local.presto[each.value.columns[name]] }],
      [for name in local.partitions : { name = name, type = "integer" }],
    )
  })))

  storage_descriptor {
    ser_de_info {
      name                  = "-"
      serialization_library = "-"
    }

    dynamic "columns" {
      for_each = concat(
        [for name in local.selected[each.key] : { name = name, type = each.value.columns[name] }],
        [for name in local.partitions : { name = name, type = "int" }],
      )

      content {
        name = columns.value.name
        type = columns.value.type
      }
    }
  }

  depends_on = [aws_glue_catalog_table.this]
}

locals {
  # A view's columns stand in the order in which its SQL selects them; a map has none.
  selected = { for key, view in var.analytics.views : key => [
    for name in split(",", replace(split("\nFROM", view.sql)[0], "/^SELECT|[\\s\"]/", "")) : name
    if !contains(local.partitions, name)
  ] }
}

resource "aws_athena_workgroup" "this" {
  name          = var.analytics.workgroup.name
  description   = var.analytics.workgroup.description
  force_destroy = !var.protect_data

  configuration {
    bytes_scanned_cutoff_per_query     = var.analytics.workgroup.most_bytes_scanned
    enforce_workgroup_configuration    = true
    publish_cloudwatch_metrics_enabled = false

    engine_version {
      selected_engine_version = "Athena engine version 3"
    }

    result_configuration {
      output_location = var.analytics.workgroup.results

      encryption_configuration {
        encryption_option = "SSE_S3"
      }
    }
  }
}

resource "aws_athena_named_query" "this" {
  for_each = var.analytics.queries

  name        = each.key
  description = each.value.description
  workgroup   = aws_athena_workgroup.this.id
  database    = aws_glue_catalog_database.this.name
  query       = each.value.sql
}
