# The smallest configuration that shows a run: no provider is needed, terraform_data is built in.

terraform {
  required_version = ">= 1.4"
}

variable "name" {
  type        = string
  default     = "world"
  description = "Who is greeted."
}

resource "terraform_data" "greeting" {
  input = "Hello, ${var.name}!"
}

# Takes a few seconds, one line at a time, so that you can see the log stream.
resource "terraform_data" "countdown" {
  triggers_replace = terraform_data.greeting.output

  provisioner "local-exec" {
    command = "for n in 3 2 1; do echo \"$n ...\"; sleep 0.5; done; echo 'lift-off'"
  }
}

output "greeting" {
  value = terraform_data.greeting.output
}

output "countdown_id" {
  value = terraform_data.countdown.id
}
