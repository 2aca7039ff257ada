"""The schemas of requests and responses of the built-in identity, by the names that operations use."""

from typing import Final

from tintype.api.json_schema import (
    FLAG,
    NULLABLE,
    OBJECT,
    STRING,
    Schema,
    list_of,
    one_of,
    open_record,
    record,
    text,
)

_LONGEST: Final = 4096
_DOMAIN: Final = record({"id": STRING, "name": STRING})
_NAMED: Final = record({"id": STRING, "name": STRING, "domain": _DOMAIN})
_SELF: Final = record({"self": STRING})
_PAGE: Final = record({"self": STRING, "next": NULLABLE, "previous": NULLABLE})
_NONE: Final[Schema] = {"type": "null"}
_FLAG: Final[Schema] = {"type": ["boolean", "null"]}
_NO_NUL: Final = {"pattern": r"^[^\x00]*$"}
_TEXT: Final = text(_LONGEST, least=1) | _NO_NUL
_OPTIONAL: Final = text(_LONGEST, nullable=True) | _NO_NUL
_SECRET: Final = text(_LONGEST, least=1, nullable=True) | _NO_NUL
_NAME: Final = text(255, least=1) | {
    "pattern": r"^[^\s\x00-\x1f\x7f-\x9f]([^\x00-\x1f\x7f-\x9f]*[^\s\x00-\x1f\x7f-\x9f])?$"
}
_EMAIL: Final = text(255, nullable=True) | _NO_NUL
_EMPTY: Final[Schema] = {"enum": [None, False, "", [], {}]}
"""What a field may be that is not stored here."""
_TIME: Final = {"anyOf": [{"type": "null"}, {"type": "string", "format": "date-time"}]}
_IN_DEFAULT: Final = one_of(None, "", "default")

_ENDPOINT: Final = record(
    {
        "id": STRING,
        "interface": one_of("public", "internal", "admin"),
        "region": STRING,
        "region_id": STRING,
        "url": STRING,
    }
)
_CATALOG: Final = list_of(
    record({"id": STRING, "type": STRING, "name": STRING, "endpoints": list_of(_ENDPOINT)})
)
_VERSION: Final = record(
    {
        "id": STRING,
        "status": STRING,
        "updated": STRING,
        "links": list_of(record({"rel": STRING, "href": STRING})),
        "media-types": list_of(record({"base": STRING, "type": STRING})),
    }
)
_ROLE: Final = record(
    {"id": STRING, "name": STRING, "domain_id": _NONE, "description": _NONE, "options": OBJECT}
)
_TOKEN: Final = record(
    {
        "methods": list_of(STRING),
        "user": record({"id": STRING, "name": STRING, "domain": _DOMAIN, "password_expires_at": _NONE}),
        "audit_ids": list_of(STRING),
        "expires_at": STRING,
        "issued_at": STRING,
    },
    {
        "application_credential": record({"id": STRING, "name": STRING, "restricted": FLAG}),
        "project": _NAMED,
        "is_domain": FLAG,
        "roles": list_of(record({"id": STRING, "name": STRING})),
        "catalog": _CATALOG,
    },
)
_DOMAIN_VIEW: Final = record(
    {
        "id": STRING,
        "name": STRING,
        "description": STRING,
        "enabled": FLAG,
        "options": OBJECT,
        "tags": list_of(STRING),
    }
)
_PROJECT: Final = record(
    {
        "id": STRING,
        "name": STRING,
        "description": STRING,
        "domain_id": STRING,
        "parent_id": STRING,
        "enabled": FLAG,
        "is_domain": FLAG,
        "tags": list_of(STRING),
        "options": OBJECT,
        "links": _SELF,
    }
)
_USER: Final = record(
    {
        "id": STRING,
        "name": STRING,
        "domain_id": STRING,
        "enabled": FLAG,
        "password_expires_at": _NONE,
        "options": OBJECT,
        "links": _SELF,
    },
    {"description": STRING, "email": STRING, "default_project_id": STRING},
)
_CREDENTIAL_FIELDS: Final[dict[str, Schema]] = {
    "id": STRING,
    "name": STRING,
    "description": NULLABLE,
    "user_id": STRING,
    "project_id": STRING,
    "roles": list_of(_ROLE),
    "unrestricted": FLAG,
    "expires_at": NULLABLE,
    "system": _NONE,
    "links": _SELF,
}
_CREDENTIAL: Final = record(_CREDENTIAL_FIELDS)
_REFERENCE: Final = record({"id": STRING}, {"name": STRING, "domain": _DOMAIN})
_ASSIGNMENT: Final = record(
    {
        "role": record({"id": STRING}, {"name": STRING}),
        "user": _REFERENCE,
        "scope": record({"project": _REFERENCE}),
        "links": record({"assignment": STRING}),
    }
)


def _stored(required: dict[str, Schema], optional: dict[str, Schema]) -> Schema:
    """Return the schema of an object of which other fields must be empty."""
    return open_record(required, optional) | {"additionalProperties": _EMPTY}


def _listed(name: str, item: Schema) -> Schema:
    return record({name: list_of(item), "links": _PAGE})


def _domain_of(**required: Schema) -> Schema:
    """Return the schema of a user or project in a login: by id, or by name and domain."""
    named = open_record({"name": _TEXT, "domain": OBJECT, **required})
    return {"anyOf": [open_record({"id": _TEXT, **required}), named]}


_LOGIN: Final = open_record(
    {
        "identity": open_record(
            {"methods": list_of(one_of("password", "application_credential", "token"))},
            {
                "password": open_record({"user": _domain_of(password=_TEXT)}),
                "token": open_record({"id": _TEXT}),
                "application_credential": open_record(
                    {"secret": _TEXT}, {"id": _OPTIONAL, "name": _OPTIONAL, "user": OBJECT}
                ),
            },
        )
    },
    {"scope": {"anyOf": [{"enum": [None, "unscoped"]}, OBJECT]}},
)
_PROJECT_BODY: Final[dict[str, Schema]] = {
    "name": _TEXT,
    "description": _OPTIONAL,
    "enabled": _FLAG,
    "domain_id": _IN_DEFAULT,
    "parent_id": _IN_DEFAULT,
    "is_domain": {"enum": [None, False]},
}
_USER_BODY: Final[dict[str, Schema]] = {
    "name": _TEXT,
    "password": _SECRET,
    "enabled": _FLAG,
    "domain_id": _IN_DEFAULT,
    "description": _OPTIONAL,
    "email": _EMAIL,
    "default_project_id": text(64, nullable=True) | _NO_NUL,
}

IDENTITY_COMPONENTS: Final[dict[str, Schema]] = {
    "identity_versions": record({"versions": record({"values": list_of(_VERSION)})}),
    "identity_version": record({"version": _VERSION}),
    "login": open_record({"auth": _LOGIN}),
    "token": record({"token": _TOKEN}),
    "catalog": record({"catalog": _CATALOG, "links": _PAGE}),
    "domain": record({"domain": _DOMAIN_VIEW}),
    "domains": _listed("domains", _DOMAIN_VIEW),
    "project": record({"project": _PROJECT}),
    "projects": _listed("projects", _PROJECT),
    "new_project": open_record({"project": _stored({"name": _NAME}, _PROJECT_BODY)}),
    "project_changes": open_record({"project": _stored({}, _PROJECT_BODY)}),
    "user": record({"user": _USER}),
    "users": _listed("users", _USER),
    "new_user": open_record({"user": _stored({"name": _NAME}, _USER_BODY)}),
    "user_changes": open_record({"user": _stored({}, _USER_BODY)}),
    "passwords": open_record({"user": open_record({"original_password": _TEXT, "password": _TEXT})}),
    "role": record({"role": _ROLE}),
    "roles": _listed("roles", _ROLE),
    "role_assignments": _listed("role_assignments", _ASSIGNMENT),
    "application_credential": record({"application_credential": _CREDENTIAL}),
    "application_credentials": _listed("application_credentials", _CREDENTIAL),
    "created_application_credential": record(
        {"application_credential": record(_CREDENTIAL_FIELDS | {"secret": STRING})}
    ),
    "new_application_credential": open_record(
        {
            "application_credential": _stored(
                {"name": _TEXT},
                {
                    "description": _OPTIONAL,
                    "secret": _OPTIONAL,
                    "expires_at": _TIME,
                    "roles": {"type": ["array", "null"], "items": OBJECT},
                    "unrestricted": _FLAG,
                },
            )
        }
    ),
}
