# The REST API, made from openapi.yaml resource by resource (and not by its import, which the local AWS ignores).
locals {
  name       = var.document.info.title
  any_method = "x-amazon-apigateway-any-method"
  verbs      = ["get", "put", "post", "delete", "options", "head", "patch"]

  # Every path and every path above it; level n holds those of n parts, so that a parent is made before its children.
  segments = { for path, item in var.document.paths : path => split("/", trimprefix(path, "/")) }
  resources = toset(flatten([for path, parts in local.segments : [
    for count in range(1, length(parts) + 1) : "/${join("/", slice(parts, 0, count))}"
  ]]))
  level = { for depth in range(1, 6) : depth => toset([for path in local.resources : path
  if length(split("/", path)) == depth + 1]) }

  resource_ids = { for path, resource in merge(
    aws_api_gateway_resource.level_1, aws_api_gateway_resource.level_2, aws_api_gateway_resource.level_3,
    aws_api_gateway_resource.level_4, aws_api_gateway_resource.level_5,
  ) : path => resource.id }

  methods = merge([for path, item in var.document.paths : {
    for key, operation in item : "${key == local.any_method ? "ANY" : upper(key)} ${path}" => {
      path        = path
      verb        = key == local.any_method ? "ANY" : upper(key)
      operation   = operation.operationId
      validator   = try(operation["x-amazon-apigateway-request-validator"], var.document["x-amazon-apigateway-request-validator"])
      integration = operation["x-amazon-apigateway-integration"]
      scopes      = try(one(operation.security).commands, [])

      # API Gateway looks only whether a parameter is there; the function validates everything.
      parameters = { for parameter in try(operation.parameters, []) :
        "method.request.${ { path = "path", query = "querystring", header = "header" }[parameter.in]}.${parameter.name}" => true
      if parameter.required }
    } if contains(local.verbs, key) || key == local.any_method
  }]...)

  validators        = var.document["x-amazon-apigateway-request-validators"]
  gateway_responses = var.document["x-amazon-apigateway-gateway-responses"]
}

resource "aws_api_gateway_rest_api" "this" {
  #checkov:skip=CKV_AWS_237:a second API would have another address: nothing here replaces it

  name        = local.name
  description = var.document.info.description

  # Bytes from which an answer is compressed for who accepts it: what goes out is billed by the byte.
  minimum_compression_size = 1024

  endpoint_configuration {
    types = var.document["x-amazon-apigateway-endpoint-configuration"].types
  }

  lifecycle {
    precondition {
      condition     = alltrue([for parts in values(local.segments) : length(parts) <= 5])
      error_message = "openapi.yaml has a path of more than five parts: give modules/api/main.tf another level."
    }
  }
}

resource "aws_api_gateway_resource" "level_1" {
  for_each = local.level[1]

  rest_api_id = aws_api_gateway_rest_api.this.id
  parent_id   = aws_api_gateway_rest_api.this.root_resource_id
  path_part   = basename(each.key)
}

resource "aws_api_gateway_resource" "level_2" {
  for_each = local.level[2]

  rest_api_id = aws_api_gateway_rest_api.this.id
  parent_id   = aws_api_gateway_resource.level_1[dirname(each.key)].id
  path_part   = basename(each.key)
}

resource "aws_api_gateway_resource" "level_3" {
  for_each = local.level[3]

  rest_api_id = aws_api_gateway_rest_api.this.id
  parent_id   = aws_api_gateway_resource.level_2[dirname(each.key)].id
  path_part   = basename(each.key)
}

resource "aws_api_gateway_resource" "level_4" {
  for_each = local.level[4]

  rest_api_id = aws_api_gateway_rest_api.this.id
  parent_id   = aws_api_gateway_resource.level_3[dirname(each.key)].id
  path_part   = basename(each.key)
}

resource "aws_api_gateway_resource" "level_5" {
  for_each = local.level[5]

  rest_api_id = aws_api_gateway_rest_api.this.id
  parent_id   = aws_api_gateway_resource.level_4[dirname(each.key)].id
  path_part   = basename(each.key)
}

resource "aws_api_gateway_request_validator" "this" {
  for_each = local.validators

  rest_api_id                 = aws_api_gateway_rest_api.this.id
  name                        = each.key
  validate_request_parameters = each.value.validateRequestParameters
  validate_request_body       = each.value.validateRequestBody
}

resource "aws_api_gateway_authorizer" "commands" {
  name          = var.authoriser.name
  rest_api_id   = aws_api_gateway_rest_api.this.id
  type          = "COGNITO_USER_POOLS"
  provider_arns = [var.authoriser.user_pool_arn]
}

resource "aws_api_gateway_method" "this" {
  for_each = local.methods

  rest_api_id          = aws_api_gateway_rest_api.this.id
  resource_id          = local.resource_ids[each.value.path]
  http_method          = each.value.verb
  operation_name       = each.value.operation
  authorization        = length(each.value.scopes) > 0 ? "COGNITO_USER_POOLS" : "NONE"
  authorizer_id        = length(each.value.scopes) > 0 ? aws_api_gateway_authorizer.commands.id : null
  authorization_scopes = length(each.value.scopes) > 0 ? each.value.scopes : null
  api_key_required     = var.api_key_required && each.value.verb != "OPTIONS" && length(each.value.scopes) == 0
  request_validator_id = aws_api_gateway_request_validator.this[each.value.validator].id
  request_parameters   = each.value.parameters
}

resource "aws_api_gateway_integration" "this" {
  for_each = local.methods

  rest_api_id             = aws_api_gateway_rest_api.this.id
  resource_id             = local.resource_ids[each.value.path]
  http_method             = aws_api_gateway_method.this[each.key].http_method
  type                    = upper(each.value.integration.type)
  integration_http_method = each.value.integration.httpMethod
  uri                     = each.value.integration.uri
  passthrough_behavior    = upper(each.value.integration.passthroughBehavior)
  timeout_milliseconds    = each.value.integration.timeoutInMillis
}

resource "aws_api_gateway_gateway_response" "this" {
  for_each = local.gateway_responses

  rest_api_id         = aws_api_gateway_rest_api.this.id
  response_type       = each.key
  status_code         = try(tostring(each.value.statusCode), null)
  response_parameters = each.value.responseParameters
  response_templates  = each.value.responseTemplates
}

resource "aws_lambda_permission" "api" {
  for_each = { for key, function in var.functions : key => function
  if anytrue([for method in local.methods : strcontains(method.integration.uri, ":function:${function.name}:")]) }

  statement_id  = "apigateway"
  action        = "lambda:InvokeFunction"
  function_name = each.value.name
  qualifier     = each.value.alias
  principal     = "apigateway.amazonaws.com"
  source_arn    = "${aws_api_gateway_rest_api.this.execution_arn}/*/*/*"
}

resource "aws_api_gateway_deployment" "this" {
  rest_api_id = aws_api_gateway_rest_api.this.id

  # A deployment is a copy: whatever the API is made of makes another one when it changes.
  triggers = {
    of = sha1(jsonencode([local.methods, local.validators, local.gateway_responses, var.api_key_required]))
  }

  depends_on = [
    aws_api_gateway_method.this,
    aws_api_gateway_integration.this,
    aws_api_gateway_gateway_response.this,
  ]

  lifecycle {
    create_before_destroy = true
  }
}

resource "aws_cloudwatch_log_group" "access" {
  #checkov:skip=CKV_AWS_158:AWS's own keys encrypt it (the table of encryption in docs/aws.md): a key of ours costs by the request
  #checkov:skip=CKV_AWS_338:seven days, as cost says: what has to be kept is in the archive

  name              = "/aws/apigateway/${local.name}-${var.stage}"
  retention_in_days = var.log_retention_days
}

# X-Ray's own rule records the first request of every second, which is all of a network's people: a reservoir of 0 leaves the share.
# The API decides; its function follows what the request's trace header says.
resource "aws_xray_sampling_rule" "this" {
  count = var.tracing ? 1 : 0

  rule_name      = substr("${local.name}-${var.stage}", 0, 32)
  priority       = 100
  version        = 1
  reservoir_size = 0
  fixed_rate     = var.tracing_share
  service_type   = "AWS::ApiGateway::Stage"
  service_name   = "${local.name}/${var.stage}"
  resource_arn   = "*"
  host           = "*"
  http_method    = "*"
  url_path       = "*"
}

resource "aws_api_gateway_stage" "this" {
  #checkov:skip=CKV2_AWS_4:execution logs are priced by the line: the access log and the function's own say what happened
  #checkov:skip=CKV2_AWS_51:behind it is Lambda, which IAM lets this API call and nobody else
  #checkov:skip=CKV_AWS_120:the smallest cache costs more than all reads: answers carry an ETag

  rest_api_id          = aws_api_gateway_rest_api.this.id
  deployment_id        = aws_api_gateway_deployment.this.id
  stage_name           = var.stage
  xray_tracing_enabled = var.tracing

  access_log_settings {
    destination_arn = aws_cloudwatch_log_group.access.arn
    format = jsonencode({
      requestId         = "$context.requestId"
      requestTime       = "$context.requestTime"
      ip                = "$context.identity.sourceIp"
      httpMethod        = "$context.httpMethod"
      path              = "$context.path"
      status            = "$context.status"
      responseLength    = "$context.responseLength"
      responseLatency   = "$context.responseLatency"
      integrationStatus = "$context.integration.integrationStatus"
      error             = "$context.error.message"
    })
  }
}

resource "aws_api_gateway_method_settings" "all" {
  #checkov:skip=CKV_AWS_225:the smallest cache costs more than all reads: answers carry an ETag

  rest_api_id = aws_api_gateway_rest_api.this.id
  stage_name  = aws_api_gateway_stage.this.stage_name
  method_path = "*/*"

  # Metrics and execution logs a method cost money for each request: the stage's own metrics and the access log do.
  settings {
    throttling_rate_limit  = var.rate_limit
    throttling_burst_limit = var.burst_limit
    metrics_enabled        = false
    logging_level          = "OFF"
  }
}

# Keys are joined to it by hand (docs/aws.md): one made here would stand in the state.
resource "aws_api_gateway_usage_plan" "readers" {
  name        = "${local.name}-readers"
  description = "Whoever reads with an API key."

  api_stages {
    api_id = aws_api_gateway_rest_api.this.id
    stage  = aws_api_gateway_stage.this.stage_name
  }

  throttle_settings {
    rate_limit  = var.rate_limit
    burst_limit = var.burst_limit
  }
}
