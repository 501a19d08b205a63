variable "tables" {
  description = "tables.yaml."
  type = map(object({
    name          = string
    billing_mode  = string
    partition_key = object({ name = string, type = string })
    sort_key      = optional(object({ name = string, type = string }))
    local_indexes = optional(map(object({ name = string, type = string })), {})
    global_indexes = optional(map(object({
      partition_key = object({ name = string, type = string })
      sort_key      = object({ name = string, type = string })
      keys_only     = optional(bool, false)
    })), {})
    stream                 = optional(string)
    expiry_attribute       = optional(string)
    point_in_time_recovery = bool
    encryption             = string
    deletion_protection    = optional(bool, false)
  }))
}

variable "protect_data" {
  description = "Whether deletion_protection counts."
  type        = bool
}

variable "provisioned" {
  description = "Tables, by key, that have capacity of their own in place of on demand."
  type = map(object({
    read_units       = number
    write_units      = number
    most_read_units  = optional(number)
    most_write_units = optional(number)
    index_units      = number
  }))
}

variable "utilisation" {
  description = "Percent of a table's own capacity that auto scaling aims to have in use."
  type        = number
}
