# Live updates: the WebSocket API, and the mapping that feeds it from a table's stream. What both do is in live.yaml.
locals {
  api        = var.live.api
  authoriser = local.api.authoriser
  called     = toset([local.api.function, local.authoriser.function])
}

resource "aws_apigatewayv2_api" "this" {
  name                       = local.api.name
  description                = local.api.description
  protocol_type              = "WEBSOCKET"
  route_selection_expression = local.api.route_selection_expression
}

resource "aws_apigatewayv2_authorizer" "this" {
  api_id           = aws_apigatewayv2_api.this.id
  name             = local.authoriser.name
  authorizer_type  = "REQUEST"
  authorizer_uri   = local.uris[local.authoriser.function]
  identity_sources = [local.authoriser.identity_source]

  # It is an HTTP API's alone; who answers with one all the same is left in peace.
  lifecycle {
    ignore_changes = [authorizer_payload_format_version]
  }
}

resource "aws_apigatewayv2_integration" "this" {
  api_id             = aws_apigatewayv2_api.this.id
  integration_type   = "AWS_PROXY"
  integration_method = "POST"
  integration_uri    = local.uris[local.api.function]
}

locals {
  uris = { for key in local.called : key =>
  "arn:aws:apigateway:${var.region}:lambda:path/2015-03-31/functions/${var.functions[key].arn}/invocations" }
}

# Only the handshake is authorised: API Gateway knows nothing else to ask for later.
resource "aws_apigatewayv2_route" "this" {
  #checkov:skip=CKV_AWS_309:the handshake is authorised, by a ticket: a WebSocket's other routes cannot be

  for_each = toset(local.api.routes)

  api_id             = aws_apigatewayv2_api.this.id
  route_key          = each.key
  target             = "integrations/${aws_apigatewayv2_integration.this.id}"
  authorization_type = each.key == "$connect" ? "CUSTOM" : "NONE"
  authorizer_id      = each.key == "$connect" ? aws_apigatewayv2_authorizer.this.id : null
}

resource "aws_lambda_permission" "this" {
  for_each = local.called

  statement_id  = "live"
  action        = "lambda:InvokeFunction"
  function_name = var.functions[each.key].name
  qualifier     = var.functions[each.key].alias
  principal     = "apigateway.amazonaws.com"
  source_arn    = "${aws_apigatewayv2_api.this.execution_arn}/*"
}

resource "aws_apigatewayv2_deployment" "this" {
  api_id      = aws_apigatewayv2_api.this.id
  description = local.api.description

  # A deployment is a copy: whatever the API is made of makes another one when it changes.
  triggers = {
    of = sha1(jsonencode([local.api, local.uris]))
  }

  depends_on = [aws_apigatewayv2_route.this]

  lifecycle {
    create_before_destroy = true
  }
}

resource "aws_cloudwatch_log_group" "access" {
  #checkov:skip=CKV_AWS_158:AWS's own keys encrypt it (the table of encryption in docs/aws.md): a key of ours costs by the request
  #checkov:skip=CKV_AWS_338:seven days, as cost says: what has to be kept is in the archive

  name              = "/aws/apigateway/${local.api.name}"
  retention_in_days = var.log_retention_days
}

resource "aws_apigatewayv2_stage" "this" {
  #checkov:skip=CKV2_AWS_51:behind it is Lambda, which IAM lets this API call and nobody else

  api_id        = aws_apigatewayv2_api.this.id
  name          = local.api.stage
  deployment_id = aws_apigatewayv2_deployment.this.id

  # Metrics a route cost money for each message: the stage's own metrics and the access log do.
  default_route_settings {
    throttling_rate_limit    = local.api.rate_limit
    throttling_burst_limit   = local.api.burst_limit
    detailed_metrics_enabled = false
    data_trace_enabled       = false
    logging_level            = "OFF"
  }

  # Without the address: a ticket is part of it.
  access_log_settings {
    destination_arn = aws_cloudwatch_log_group.access.arn
    format = jsonencode({
      requestId    = "$context.requestId"
      requestTime  = "$context.requestTime"
      ip           = "$context.identity.sourceIp"
      eventType    = "$context.eventType"
      routeKey     = "$context.routeKey"
      connectionId = "$context.connectionId"
      status       = "$context.status"
      error        = "$context.error.message"
    })
  }
}

resource "aws_lambda_event_source_mapping" "feed" {
  function_name                      = var.functions[var.live.feed.function].arn
  event_source_arn                   = var.stream_arns[var.live.feed.table]
  starting_position                  = var.live.feed.starting_position
  batch_size                         = var.live.feed.batch_size
  maximum_batching_window_in_seconds = var.live.feed.window_s
  maximum_record_age_in_seconds      = var.live.feed.maximum_record_age_s

  filter_criteria {
    dynamic "filter" {
      for_each = var.live.feed.filters

      content {
        pattern = jsonencode(filter.value)
      }
    }
  }
}
