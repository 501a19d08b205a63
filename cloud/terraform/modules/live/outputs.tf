output "url" {
  description = "Where a client connects, with ?ticket= behind it."
  value       = "${aws_apigatewayv2_api.this.api_endpoint}/${aws_apigatewayv2_stage.this.name}"
}
