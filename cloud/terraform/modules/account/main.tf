# What an account has once a region, whoever uses it: the role by which API Gateway writes logs, and AWS IoT's logging.
data "aws_iam_policy_document" "trust" {
  for_each = toset(["apigateway", "iot"])

  statement {
    actions = ["sts:AssumeRole"]

    principals {
      type        = "Service"
      identifiers = ["${each.key}.amazonaws.com"]
    }
  }
}

resource "aws_iam_role" "api_logs" {
  name               = "${var.prefix}-api-gateway-logs"
  description        = "API Gateway: writes access logs."
  assume_role_policy = data.aws_iam_policy_document.trust["apigateway"].json
}

# AWS's own policy: API Gateway refuses a role that may do less.
resource "aws_iam_role_policy_attachment" "api_logs" {
  role       = aws_iam_role.api_logs.name
  policy_arn = "arn:aws:iam::aws:policy/service-role/AmazonAPIGatewayPushToCloudWatchLogs"
}

resource "aws_api_gateway_account" "this" {
  cloudwatch_role_arn = aws_iam_role.api_logs.arn

  depends_on = [aws_iam_role_policy_attachment.api_logs]
}

# AWS IoT chooses this name.
resource "aws_cloudwatch_log_group" "iot" {
  #checkov:skip=CKV_AWS_158:AWS's own keys encrypt it (the table of encryption in docs/aws.md): a key of ours costs by the request
  #checkov:skip=CKV_AWS_338:seven days, as cost says: what has to be kept is in the archive

  name              = "AWSIotLogsV2"
  retention_in_days = var.log_retention_days
}

resource "aws_iam_role" "iot_logs" {
  name               = "${var.prefix}-iot-logs"
  description        = "AWS IoT: writes its logs."
  assume_role_policy = data.aws_iam_policy_document.trust["iot"].json
}

data "aws_iam_policy_document" "iot_logs" {
  statement {
    sid       = "WriteItsLogGroup"
    actions   = ["logs:CreateLogStream", "logs:PutLogEvents", "logs:PutMetricFilter", "logs:PutRetentionPolicy"]
    resources = ["arn:aws:logs:${var.region}:${var.account_id}:log-group:${aws_cloudwatch_log_group.iot.name}:*"]
  }
}

resource "aws_iam_role_policy" "iot_logs" {
  name   = "evswap"
  role   = aws_iam_role.iot_logs.id
  policy = data.aws_iam_policy_document.iot_logs.json
}

# ERROR: a line for every message would cost more than the messages.
resource "aws_iot_logging_options" "this" {
  count = var.iot_logging ? 1 : 0

  default_log_level = "ERROR"
  role_arn          = aws_iam_role.iot_logs.arn

  depends_on = [aws_iam_role_policy.iot_logs]
}
