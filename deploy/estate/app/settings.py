"""What every process of the sample application is told by its environment, read once and in one place."""
import os

DATABASE_URL = os.environ.get("DATABASE_URL", "postgresql://app:app@postgres:5432/voiceai_testing")
REDIS_URL = os.environ.get("REDIS_URL", "redis://redis:6379")
BROKER_URL = os.environ.get("BROKER_URL", "amqp://rabbitmq:rabbitmq@rabbitmq:5672/voiceai")
POOL_SIZE = int(os.environ.get("DATABASE_POOL_SIZE", "4"))
JWT_SECRET_KEY = os.environ.get("JWT_SECRET_KEY", "")
FAULTS_PORT = int(os.environ.get("FAULTS_PORT", "8001"))
