"""Templates: translate, one verb, translate."""

from berth.base.clock import Instant
from berth.base.db import Tx
from berth.core import catalog
from berth.faces.face import Call
from berth.faces.shopper import words
from berth.faces.shopper.templates import wire


def list_templates(tx: Tx, call: Call) -> wire.Templates:
    query: wire.TemplatesQuery = call.query
    search = catalog.TemplateSearch(query.name, query.image, query.recommended, query.use_ssh)
    found = [_shown(each) for each in catalog.list_templates(tx, call.by, search)]
    return wire.Templates(templates=found, count=len(found))


def get_template(tx: Tx, call: Call) -> wire.Template:
    return _shown(catalog.get_template(tx, call.by, call.parameters["hash_id"]))


def _shown(template: catalog.Template) -> wire.Template:
    made = template.made
    shown = wire.Template(
        id=made.id,
        hash_id=made.hash_id,
        name=made.name,
        image=made.image,
        tag=made.tag,
        env=made.env,
        onstart=made.onstart,
        runtype=made.runtype,
        use_ssh=made.use_ssh,
        ssh_direct=made.ssh_direct,
        recommended=made.recommended,
        recommended_disk_space=made.recommended_disk_gb,
        extra_filters=made.extra_filters,
        creator_id=made.creator_id,
        created_at=words.time(Instant(made.created_at)),
        count_created=made.count_created,
    )
    if made.args_str:
        shown.args_str = made.args_str
    return shown
