output "names" {
  description = "The names of the buckets, by key."
  value       = { for key, bucket in aws_s3_bucket.this : key => bucket.bucket }
}
