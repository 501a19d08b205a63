# The whole stack. What the local AWS needs too is read from cloud/stack by module.stack and stands there alone; what only
# AWS has (alarms' topic, budget, access logs, throttling) stands in the modules.
locals {
  checkout = "${path.module}/../.."
  folder   = coalesce(var.stack_folder, "${local.checkout}/cloud/stack")
  packages = coalesce(var.packages, "${local.checkout}/dist")
  target   = coalesce(var.package_target, module.stack.code.package_target)

  log_retention_days = 7

  # What a function's environment has beside cloud/stack.
  environments = {
    watch-authorise = { EVSWAP_LIVE_ORIGINS = join(" ", var.live_origins) }
    events          = var.events_kept_days == null ? {} : { EVSWAP_EVENTS_KEPT_DAYS = tostring(var.events_kept_days) }
  }

  # A record is hidden for six time-outs of the function and its window (cloud/stack/queues.yaml): the longest window sets it.
  queues = { for key, queue in module.stack.queues : key => merge(queue, [
    for name, function in module.stack.functions : {
      visibility_timeout_s = max(queue.visibility_timeout_s, 6 * function.timeout_s + var.windows_s[name])
    } if try(function.event_source.queue, null) == key && contains(keys(var.windows_s), name)
  ]...) }
  feed = merge(module.stack.live.feed, { window_s = lookup(var.windows_s, "push", module.stack.live.feed.window_s) })

  role_arns = { for key, role in module.role : key => role.arn }
  functions = { for key, function in module.function : key => { name = function.name, alias = function.alias, arn = function.arn } }
}

module "stack" {
  source = "./modules/stack"

  folder = local.folder
  values = {
    region     = var.region
    account_id = var.account_id
    prefix     = var.prefix
  }
}

module "role" {
  source   = "./modules/role"
  for_each = module.stack.roles

  role = each.value
}

module "tables" {
  source = "./modules/tables"

  tables       = module.stack.tables
  protect_data = var.protect_data
  provisioned  = var.provisioned_tables
  utilisation  = var.table_utilisation
}

module "buckets" {
  source = "./modules/buckets"

  buckets          = module.stack.buckets
  protect_data     = var.protect_data
  object_lock_days = var.object_lock_days
  tls_only         = !contains(var.without, "tls-only")
}

module "queues" {
  source = "./modules/queues"

  queues = local.queues
}

module "function" {
  source   = "./modules/function"
  for_each = module.stack.functions

  function = merge(each.value,
    { environment = merge(each.value.environment, lookup(local.environments, each.key, {})) },
    contains(keys(var.windows_s), each.key) && can(each.value.event_source) ? {
      event_source = merge(each.value.event_source, { window_s = var.windows_s[each.key] })
    } : {},
  )
  code           = module.stack.code
  package        = "${local.packages}/evswap-cloud-${local.target}.zip"
  role           = { arn = module.role[each.value.role].arn, name = module.role[each.value.role].name }
  queue_arns     = module.queues.arns
  tracing        = var.tracing
  tracing_policy = module.stack.tracing_policy
}

module "rules" {
  source = "./modules/rules"

  rules      = module.stack.rules
  queue_urls = module.queues.urls
  role_arns  = local.role_arns
  functions  = local.functions
}

module "schedules" {
  source = "./modules/schedules"

  schedules = module.stack.schedules
  functions = local.functions
}

module "devices" {
  source = "./modules/devices"

  prefix            = var.prefix
  thing_type        = module.stack.thing_type
  station_policies  = module.stack.station_policies
  greengrass_policy = module.stack.greengrass_policy
  templates         = module.stack.provisioning
  role_arns         = local.role_arns
  functions         = local.functions
}

module "identity" {
  source = "./modules/identity"

  identity     = module.stack.identity
  protect_data = var.protect_data
}

module "api" {
  source = "./modules/api"

  document           = module.stack.openapi
  stage              = var.environment
  functions          = local.functions
  authoriser         = { name = module.stack.identity.authoriser, user_pool_arn = module.identity.user_pool_arn }
  api_key_required   = var.api_key_required
  rate_limit         = var.api_rate_limit
  burst_limit        = var.api_burst_limit
  tracing            = var.tracing
  tracing_share      = var.tracing_share
  log_retention_days = local.log_retention_days

  depends_on = [module.account]
}

module "live" {
  source = "./modules/live"

  live               = merge(module.stack.live, { feed = local.feed })
  region             = var.region
  functions          = local.functions
  stream_arns        = module.tables.stream_arns
  log_retention_days = local.log_retention_days

  depends_on = [module.account]
}

module "account" {
  source = "./modules/account"
  count  = var.manage_account_settings ? 1 : 0

  prefix             = var.prefix
  region             = var.region
  account_id         = var.account_id
  iot_logging        = !contains(var.without, "iot-logging")
  log_retention_days = local.log_retention_days
}

module "alarms" {
  source = "./modules/alarms"

  prefix     = var.prefix
  account_id = var.account_id
  alarms     = module.stack.alarms
  emails     = var.alarm_emails
  endpoints  = var.alarm_endpoints

  subjects = {
    function = { for key, function in module.stack.functions : key => { FunctionName = function.name } }
    table    = { for key, table in module.stack.tables : key => { TableName = table.name } }
    queue = { for key, queue in module.stack.queues : key => { QueueName = queue.name }
    if can(queue.dead_letter_queue) }
    end = { for key, queue in module.stack.queues : key => { QueueName = queue.name }
    if !can(queue.dead_letter_queue) }
    rule = { for name, rule in module.stack.rules : name => { RuleName = name } }
    api  = { rest = { ApiName = module.stack.openapi.info.title, Stage = var.environment } }
    # Metrics of ours have no dimension.
    fleet = { all = {} }
  }
}

module "monitoring" {
  source = "./modules/monitoring"

  name          = "${var.prefix}-${var.environment}"
  region        = var.region
  functions     = module.stack.functions
  queues        = module.stack.queues
  tables        = module.stack.tables
  rules         = module.stack.rules
  queries       = module.stack.queries
  metrics       = module.stack.metrics
  api_name      = module.stack.openapi.info.title
  stage         = var.environment
  alarm_arns    = module.alarms.arns
  dashboard     = var.dashboard
  saved_queries = !contains(var.without, "saved-queries")

  # A saved query names log groups that are there.
  depends_on = [module.function]
}

module "budget" {
  source = "./modules/budget"

  name        = "${var.prefix}-${var.environment}"
  monthly_usd = var.monthly_budget_usd
  topic_arn   = module.alarms.topic_arn
}
