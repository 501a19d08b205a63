# --- where ---

variable "region" {
  description = "The AWS region of everything."
  type        = string

  validation {
    condition     = can(regex("^[a-z]{2}(-[a-z]+)+-[0-9]$", var.region))
    error_message = "This is no AWS region: name one like us-east-1 or eu-central-1, in the -var-file or by -var region=..."
  }
}

variable "account_id" {
  description = "The AWS account that this environment belongs to. Credentials of any other account are refused."
  type        = string

  validation {
    condition     = can(regex("^[0-9]{12}$", var.account_id))
    error_message = "An AWS account has 12 digits: `aws sts get-caller-identity` shows yours. Give it by -var account_id=... or TF_VAR_account_id."
  }
}

variable "environment" {
  description = "dev or prod: the name of the API's stage, and a tag on everything."
  type        = string

  validation {
    condition     = contains(["dev", "prod"], var.environment)
    error_message = "There are two environments: use -var-file=environments/dev.tfvars or -var-file=environments/prod.tfvars."
  }
}

variable "prefix" {
  description = "Begins the name of every queue, function, role, table and bucket. Rule names have none, so an account's region holds one stack."
  type        = string
  default     = "evswap"

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{1,20}$", var.prefix))
    error_message = "The prefix begins bucket names: lower-case letters, digits and hyphens, beginning with a letter, 2 to 21 characters."
  }
}

variable "stack_folder" {
  description = "The stack as data; null is cloud/stack of this checkout."
  type        = string
  default     = null
}

# --- the functions' code ---

variable "packages" {
  description = "The folder with the zips that `make zips` builds; null is dist/ of this checkout."
  type        = string
  default     = null
}

variable "package_target" {
  description = "Which zip: null is the target that cloud/stack/functions.yaml names for AWS."
  type        = string
  default     = null
}

# --- what dev and prod differ in ---

variable "tracing" {
  description = "X-Ray for the API. Costs per request: prod only."
  type        = bool
}

variable "protect_data" {
  description = "Refuse to delete the table, and buckets that are not empty. What cloud/stack protects is protected only where this is true."
  type        = bool
}

variable "api_key_required" {
  description = "Whether reading needs an API key. Keys are made by hand (docs/aws.md): a key made here would stand in the state."
  type        = bool
}

variable "api_rate_limit" {
  description = "Requests a second that the API takes in all."
  type        = number

  validation {
    condition     = var.api_rate_limit >= 1 && var.api_rate_limit <= 10000
    error_message = "API Gateway allows 1 to 10000 requests a second in an account."
  }
}

variable "api_burst_limit" {
  description = "Requests that the API takes at once."
  type        = number

  validation {
    condition     = var.api_burst_limit >= 1 && var.api_burst_limit <= 5000
    error_message = "API Gateway allows 1 to 5000 requests at once in an account."
  }
}

variable "provisioned_tables" {
  description = "Tables, by their keys in tables.yaml, with capacity of their own in place of on demand: cheaper where the load is even (docs/cost.md). Units without a most stay as they are."
  type = map(object({
    read_units       = number
    write_units      = number
    most_read_units  = optional(number)
    most_write_units = optional(number)
    index_units      = optional(number, 5)
  }))
  default = {}

  validation {
    condition = alltrue([for each in values(var.provisioned_tables) : each.read_units >= 1 && each.write_units >= 1
      && coalesce(each.most_read_units, each.read_units) >= each.read_units
    && coalesce(each.most_write_units, each.write_units) >= each.write_units])
    error_message = "A table has at least one unit of each, and scales up to no less than it begins with."
  }
}

variable "events_kept_days" {
  description = "Days that events and swaps stay in their tables, where the API finds them; the archive keeps events longer. Null is what cloud/stack says."
  type        = number
  default     = null

  validation {
    condition     = var.events_kept_days == null ? true : var.events_kept_days >= 1 && floor(var.events_kept_days) == var.events_kept_days
    error_message = "Give whole days, at least one: what has just happened is asked for."
  }
}

variable "table_utilisation" {
  description = "Percent of a table's own capacity that auto scaling aims to have in use."
  type        = number
  default     = 70

  validation {
    condition     = var.table_utilisation >= 20 && var.table_utilisation <= 90
    error_message = "Application Auto Scaling aims at 20 to 90 percent."
  }
}

variable "windows_s" {
  description = "Seconds that a function's records are gathered before it is called, by the function: bulk (batches), events, push (live updates). Longer makes fewer calls and fewer objects of the archive, and tells later. Others are gathered as cloud/stack says."
  type        = map(number)
  default     = {}

  validation {
    condition     = length(setsubtract(keys(var.windows_s), ["bulk", "events", "push"])) == 0
    error_message = "Only bulk, events and push gather for as long as is wanted: somebody waits for what the others do."
  }

  validation {
    condition     = alltrue([for window in values(var.windows_s) : window >= 1 && window <= 300 && floor(window) == window])
    error_message = "Lambda gathers for 1 to 300 whole seconds."
  }
}

variable "dashboard" {
  description = "Whether there is a dashboard of CloudWatch. An account's fourth is billed, and so is one of more than 50 metrics."
  type        = bool
  default     = true
}

variable "tracing_share" {
  description = "The share of the API's requests that X-Ray records, where tracing is on. It is billed by the trace."
  type        = number
  default     = 0.05

  validation {
    condition     = var.tracing_share >= 0 && var.tracing_share <= 1
    error_message = "A share is between 0 and 1."
  }
}

variable "live_origins" {
  description = "From where pages may watch live updates, as https://watch.example. Programs may from anywhere, with a ticket."
  type        = list(string)
  default     = []

  validation {
    condition     = alltrue([for origin in var.live_origins : can(regex("^https?://[a-z0-9.-]+(:([0-9]+|[*]))?$", origin))])
    error_message = "An origin is scheme and host, such as https://watch.example: no path, no slash at its end. :* is every port."
  }
}

variable "object_lock_days" {
  description = "Days for which compacted objects can be deleted by nobody without a special permission (governance mode). 0 is none; it can be chosen only before the bucket is made."
  type        = number
  default     = 0

  validation {
    condition     = var.object_lock_days >= 0 && floor(var.object_lock_days) == var.object_lock_days
    error_message = "Give whole days, or 0 for no object lock."
  }
}

# --- people and money ---

variable "alarm_emails" {
  description = "Who is written to by alarms and the budget. Each address has to confirm its subscription."
  type        = set(string)
  default     = []

  validation {
    condition     = alltrue([for address in var.alarm_emails : can(regex("^[^@\\s]+@[^@\\s]+$", address))])
    error_message = "One of these is no e-mail address."
  }
}

variable "alarm_endpoints" {
  description = "What else is told of alarms and the budget: a protocol of SNS (https, sqs, lambda, sms) and its endpoint."
  type        = set(object({ protocol = string, endpoint = string }))
  default     = []

  validation {
    condition     = alltrue([for each in var.alarm_endpoints : contains(["https", "lambda", "sms", "sqs"], each.protocol)])
    error_message = "SNS tells https, lambda, sms and sqs; addresses of e-mail go into alarm_emails."
  }
}

variable "monthly_budget_usd" {
  description = "The account's monthly budget; 80 % spent or 100 % forecast raises an alarm."
  type        = number

  validation {
    condition     = var.monthly_budget_usd > 0
    error_message = "A budget is more than 0 US dollars."
  }
}

# --- what is shared with others in the account, or missing in an emulator ---

variable "manage_account_settings" {
  description = "Whether this stack sets what an account has once a region: the logging of AWS IoT and the role by which API Gateway logs. False where something else does."
  type        = bool
  default     = true
}

variable "without" {
  description = "Parts left out where AWS is an emulator that cannot have them; cloud/terraform/local.yaml says which and why. Empty on AWS."
  type        = set(string)
  default     = []

  validation {
    condition     = length(setsubtract(var.without, ["iot-logging", "saved-queries", "tls-only"])) == 0
    error_message = "Only iot-logging, saved-queries and tls-only can be left out."
  }
}
