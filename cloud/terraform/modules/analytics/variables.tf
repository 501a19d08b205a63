variable "analytics" {
  description = "analytics.yaml, each view with its SQL."
  type = object({
    database = object({ name = string, description = string })
    workgroup = object({
      name               = string
      description        = string
      results            = string
      most_bytes_scanned = number
    })
    tables = map(object({
      description = string
      location    = string
      format      = string
      partitions  = map(object({ range = string, digits = number }))
      columns     = map(string)
    }))
    views = map(object({
      description = string
      sql         = string
      columns     = map(string)
    }))
    queries = map(object({ description = string, sql = string }))
  })
}

variable "protect_data" {
  description = "False: destroying the workgroup deletes its history."
  type        = bool
}
