"""Every setting of the project, read from the environment once, top to bottom.

There are two ways to run. With DATABASE_URL this is a production installation: every secret has to be given, and
nothing works over plain HTTP. Without it everything lives in one local folder, an embedded PostgreSQL and secrets made
on first use, for one machine and loopback only. Neither way has a debug mode, and neither can turn a check off.
"""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import dj_database_url
from django.core.exceptions import ImproperlyConfigured

from arizekeys import env, local

BASE_DIR = Path(__file__).resolve().parent.parent
LOCAL = not env.text("DATABASE_URL", "")
DATA_FOLDER = Path(env.text("ARIZEKEYS_DATA", str(BASE_DIR / ".arizekeys"))).expanduser().absolute()

DEBUG = False
ROOT_URLCONF = "arizekeys.urls"
WSGI_APPLICATION = "arizekeys.wsgi.application"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
LANGUAGE_CODE = "en-us"
TIME_ZONE = "UTC"
USE_TZ = True

# Who we are, and what we keep

if LOCAL:
    local.prepare(DATA_FOLDER)
    SECRET_KEY = local.own_secret(DATA_FOLDER, "secret_key")
    ALLOWED_HOSTS = ["localhost", "127.0.0.1", "[::1]"]
    DATABASES: dict[str, dict[str, Any]] = {
        "default": {
            "ENGINE": "arizekeys.embedded",
            "NAME": local.DATABASE,
            "USER": local.APPLICATION,
            "HOST": str(local.socket_folder(DATA_FOLDER)),
        }
    }
else:
    SECRET_KEY = env.secret_key("ARIZEKEYS_SECRET_KEY")
    ALLOWED_HOSTS = env.items("ARIZEKEYS_ALLOWED_HOSTS")
    if "*" in ALLOWED_HOSTS:
        raise ImproperlyConfigured("ARIZEKEYS_ALLOWED_HOSTS must name the hosts; * would accept any Host header.")
    try:
        DATABASES = {"default": {**dj_database_url.parse(env.secret("DATABASE_URL"))}}
    except ValueError:
        # The URL holds a password, so it is not repeated.
        raise ImproperlyConfigured("DATABASE_URL is not a database URL like postgres://user@host/name.") from None
    if DATABASES["default"].get("ENGINE") != "django.db.backends.postgresql":
        raise ImproperlyConfigured("DATABASE_URL must lead to PostgreSQL: postgres://user@host/name.")
    # Of several servers (postgres://user@one,two/name) the one that takes writes, whichever that is at the moment. A
    # server that vanished is given up within seconds: a worker that waits for it answers nobody. No statement_timeout:
    # PostgreSQL would cut the wait for a standby short with it, and call the commit done.
    DATABASES["default"]["OPTIONS"] = {
        "target_session_attrs": "read-write",
        "connect_timeout": 3,
        "keepalives_idle": 5,
        "keepalives_interval": 2,
        "keepalives_count": 3,
        "tcp_user_timeout": 5_000,
    } | DATABASES["default"].get("OPTIONS", {})

# What the workers of one host share among them, and with nobody else; best in memory.
SHARED_FOLDER = DATA_FOLDER / "shared"

# Uploaded data: immutable files that the database leads to. Several hosts share it; a backup takes both.
TABLES_FOLDER = Path(env.text("ARIZEKEYS_TABLES", str(DATA_FOLDER / "tables"))).expanduser().absolute()
# So many days spans and predictions are kept after they were logged; 0 keeps them. Datasets and experiments stay.
TABLE_DAYS = env.number("ARIZEKEYS_TABLE_DAYS", 0, maximum=36_500)
# The most that one upload may bring: rows, columns, and bytes before they are compressed.
TABLE_MOST_ROWS = env.number("ARIZEKEYS_TABLE_MOST_ROWS", 50_000_000, minimum=1)
TABLE_MOST_COLUMNS = env.number("ARIZEKEYS_TABLE_MOST_COLUMNS", 5_000, minimum=1, maximum=100_000)
TABLE_MOST_BYTES = env.number("ARIZEKEYS_TABLE_MOST_BYTES", 16 * 2**30, minimum=1)

# The gRPC server (manage.py serveflight): where it listens, 0 for not at all, and its certificate, as files.
GRPC_HOST = "127.0.0.1" if LOCAL else env.text("ARIZEKEYS_GRPC_HOST", "127.0.0.1")
GRPC_PORT = env.number("ARIZEKEYS_GRPC_PORT", 8815, maximum=65535)
GRPC_TLS_PORT = env.number("ARIZEKEYS_GRPC_TLS_PORT", 8816, maximum=65535)
GRPC_CERTIFICATE = env.text("ARIZEKEYS_GRPC_CERTIFICATE", "")
GRPC_CERTIFICATE_KEY = env.text("ARIZEKEYS_GRPC_KEY", "")
# So many calls at once; whoever comes then is told to come again.
GRPC_CALLS = env.number("ARIZEKEYS_GRPC_CALLS", 32, minimum=2, maximum=1_000)

# Workers keep their connection; one that the server has closed meanwhile is replaced at the next request.
DATABASES["default"] |= {"CONN_MAX_AGE": 60, "CONN_HEALTH_CHECKS": True}

# The peppers under API key digests: number -> bytes, oldest first, new keys use the last. Never SECRET_KEY, never in
# the database; the name holds KEY, so that Django's error reports leave the value out.
API_KEY_PEPPERS: dict[int, bytes] = (
    env.parse_peppers(local.own_secret(DATA_FOLDER, "peppers", "1:{}"), str(DATA_FOLDER / "peppers"))
    if LOCAL
    else env.peppers("ARIZEKEYS_KEY_PEPPERS")
)

# Parts

INSTALLED_APPS = [
    "arizekeys",
    "apikeys.workflows",
    "apikeys",
    "accounts",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django.contrib.postgres",
    "rest_framework",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "guardian",
    "csp",
    "axes",
]

MIDDLEWARE = [
    "arizekeys.middleware.RefusePlainHttp",  # before the redirect to HTTPS, which would hide a key sent in the clear
    "arizekeys.middleware.RefuseUnmeasured",
    "arizekeys.middleware.TellSettling",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "csp.middleware.CSPMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "accounts.own_password.OwnPasswordFirst",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "axes.middleware.AxesMiddleware",  # last: it answers for a sign-in that was locked out further in
]

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "accounts.scope.switch",
            ]
        },
    }
]

# Signing in

AUTH_USER_MODEL = "accounts.User"
AUTHENTICATION_BACKENDS = [
    "axes.backends.AxesStandaloneBackend",  # first: it refuses before a password is looked at
    "django.contrib.auth.backends.ModelBackend",
    "accounts.backends.LineageBackend",
]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 12}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]
LOGIN_URL = "accounts:login"
LOGIN_REDIRECT_URL = "apikeys:list"
LOGOUT_REDIRECT_URL = "accounts:login"
PASSWORD_RESET_TIMEOUT = 30 * 60  # seconds (contract rest-v2 §6)

# How long a sign-in counts as recent for what hands out or changes credentials.
REAUTH_MINUTES = env.number("ARIZEKEYS_REAUTH_MINUTES", 60, minimum=1)

# Ten wrong passwords for one name from one address close that door for a quarter of an hour. Name and address together,
# so that nobody can lock a person out from elsewhere.
AXES_FAILURE_LIMIT = 10
AXES_COOLOFF_TIME = timedelta(minutes=15)
AXES_RESET_COOL_OFF_ON_FAILURE_DURING_LOCKOUT = False  # the quarter is not lengthened by whoever goes on knocking
AXES_LOCKOUT_PARAMETERS = [["username", "ip_address"]]
AXES_USERNAME_FORM_FIELD = "username"  # what Django's sign-in form calls the field, whatever the model's is called
AXES_USERNAME_CALLABLE = "accounts.sessions.attempted_name"  # one count for all spellings of an address
AXES_LOCKOUT_TEMPLATE = "accounts/locked.html"
AXES_CLIENT_IP_CALLABLE = "accounts.origin.client_ip"
AXES_RESET_ON_SUCCESS = True
AXES_DISABLE_ACCESS_LOG = True  # sign-ins are in the audit log
AXES_VERBOSE = False

# Object permissions
ANONYMOUS_USER_NAME = None
GUARDIAN_MONKEY_PATCH_USER = False
# guardian.W001 looks for guardian's own backend by its path; LineageBackend stands in for it.
SILENCED_SYSTEM_CHECKS = ["guardian.W001"]

# What browsers are told

SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = "Lax"  # a link from a mail or chat arrives signed in
CSRF_COOKIE_HTTPONLY = True
CSRF_COOKIE_SAMESITE = "Strict"
SECURE_REFERRER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"

# Proxies in front of us whose X-Forwarded-For and X-Forwarded-Proto are believed.
TRUSTED_PROXIES = env.number("ARIZEKEYS_TRUSTED_PROXIES", 0, maximum=10)
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if TRUSTED_PROXIES else None

# How often a second one key may be verified, and one address may present what is no key, at whatever door. 0 is no
# limit, twice as many come through at once, and each host counts for itself.
VERIFY_RATE_PER_KEY = env.number("ARIZEKEYS_VERIFY_RATE_PER_KEY", 0, maximum=1_000_000)
# Seconds after which a database that says nothing is one that cannot be asked.
VERIFY_PATIENCE: float = env.number("ARIZEKEYS_VERIFY_PATIENCE", 2, minimum=1, maximum=60)
VERIFY_GUESSES = env.number("ARIZEKEYS_VERIFY_GUESSES", 20, maximum=1_000_000)
# How often a second one key may call REST and GraphQL, and ten times as many at once. A client that waits for answers
# before it goes on does not get there; programs gone wrong do before they have taken a larger host's workers.
API_RATE_PER_KEY = env.number("ARIZEKEYS_API_RATE_PER_KEY", 200, maximum=1_000_000)

# Paths that programs call with a key. Over plain HTTP they are refused, not redirected: a redirect would make the
# mistake work, and the key would go on travelling in the clear.
API_PATHS = r"^((v1|v2|graphql|verify|introspect)(/|$)|openapi\.json$)"

if LOCAL:
    # Plain HTTP on loopback. The names keep other programs on localhost from overwriting our cookies.
    SESSION_COOKIE_NAME = "arizekeys_session"
    CSRF_COOKIE_NAME = "arizekeys_csrf"
else:
    SESSION_COOKIE_NAME = "__Host-session"
    CSRF_COOKIE_NAME = "__Host-csrf"
    SESSION_COOKIE_SECURE = True
    CSRF_COOKIE_SECURE = True
    SECURE_SSL_REDIRECT = True
    SECURE_REDIRECT_EXEMPT = [API_PATHS, r"^healthz$"]
    SECURE_HSTS_SECONDS = 2 * 365 * 24 * 60 * 60
    SECURE_HSTS_INCLUDE_SUBDOMAINS = True
    SECURE_HSTS_PRELOAD = True

CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": ["'none'"],
        "script-src": ["'self'"],
        "style-src": ["'self'"],
        "img-src": ["'self'", "data:"],
        "font-src": ["'self'"],
        "connect-src": ["'self'"],
        "form-action": ["'self'"],
        "frame-ancestors": ["'none'"],
        "base-uri": ["'none'"],
        "object-src": ["'none'"],
    }
}

# Files

STATIC_URL = "static/"
STATIC_ROOT = DATA_FOLDER / "static"
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "whitenoise.storage.CompressedManifestStaticFilesStorage"},
}

# Mail

EMAIL_TIMEOUT = 10  # seconds: a mail server that does not answer must not hold a worker
if LOCAL:
    EMAIL_BACKEND = "django.core.mail.backends.filebased.EmailBackend"
    EMAIL_FILE_PATH = str(DATA_FOLDER / "mail")
elif env.text("ARIZEKEYS_EMAIL_HOST", ""):
    EMAIL_HOST = env.text("ARIZEKEYS_EMAIL_HOST")
    EMAIL_PORT = env.number("ARIZEKEYS_EMAIL_PORT", 587, minimum=1, maximum=65535)
    EMAIL_HOST_USER = env.text("ARIZEKEYS_EMAIL_USER", "")
    EMAIL_HOST_PASSWORD = env.secret("ARIZEKEYS_EMAIL_PASSWORD", "")
    EMAIL_USE_TLS = env.flag("ARIZEKEYS_EMAIL_TLS", True)
else:
    # Not to the console: a mail may hold a sign-in link, and the log is not the place for it.
    EMAIL_BACKEND = "django.core.mail.backends.dummy.EmailBackend"
EMAIL_TIMEOUT = 10  # seconds; somebody is waiting at a page
DEFAULT_FROM_EMAIL = SERVER_EMAIL = env.text("ARIZEKEYS_EMAIL_FROM", "arizekeys@localhost")

# The API

# What REST is made of. Only a key opens it, whoever calls gets JSON, and every error is a problem document.
REST_FRAMEWORK: dict[str, Any] = {
    "DEFAULT_AUTHENTICATION_CLASSES": ["apikeys.authentication.ApiKeyAuthentication"],
    "DEFAULT_PERMISSION_CLASSES": ["accounts.rest.access.DeclaredAccess"],
    "DEFAULT_PARSER_CLASSES": ["arizekeys.rest.StrictJson"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_CONTENT_NEGOTIATION_CLASS": "arizekeys.rest.AnyAccept",
    "DEFAULT_METADATA_CLASS": None,
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "EXCEPTION_HANDLER": "arizekeys.rest.problem",
    "URL_FORMAT_OVERRIDE": None,  # no ?format=: there is one
    "TEST_REQUEST_DEFAULT_FORMAT": "json",
}
SPECTACULAR_SETTINGS: dict[str, Any] = {
    "TITLE": "arizekeys",
    "VERSION": "2",
    "OAS_VERSION": "3.1.0",
    "SCHEMA_PATH_PREFIX": "/v2",
    "COMPONENT_SPLIT_REQUEST": True,
    "COMPONENT_SPLIT_PATCH": False,  # what a PATCH takes has a shape of its own
    "POSTPROCESSING_HOOKS": [],  # a word list stays where it is used, instead of getting a made-up name
    "ENUM_GENERATE_CHOICE_DESCRIPTION": False,
    "SORT_OPERATION_PARAMETERS": False,
}

# Logs: everything to standard error, through the filter that takes keys out.

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "filters": {"redact_keys": {"()": "accounts.redaction.RedactKeys"}},
    "formatters": {"line": {"format": "{asctime} {levelname} {name}: {message}", "style": "{"}},
    "handlers": {
        "console": {"class": "logging.StreamHandler", "filters": ["redact_keys"], "formatter": "line"},
    },
    "root": {"handlers": ["console"], "level": env.text("ARIZEKEYS_LOG_LEVEL", "WARNING").upper()},
    # Django's own handlers are taken off, since they write around the filter.
    "loggers": {name: {"handlers": [], "propagate": True} for name in ("django", "django.server")},
}
