"""Create the tables of 0.1.0"""

from alembic import op
import sqlalchemy as sa

revision = '0001'
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table('counters',
    sa.Column('name', sa.String(length=40), nullable=False),
    sa.Column('value', sa.BigInteger(), nullable=False),
    sa.PrimaryKeyConstraint('name', name=op.f('pk_counters'))
    )
    op.create_table('organizations',
    sa.Column('id', sa.String(length=40), nullable=False),
    sa.Column('name', sa.String(length=255), nullable=False),
    sa.Column('description', sa.Text(), nullable=False),
    sa.Column('created_at', sa.BigInteger(), nullable=False),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_organizations')),
    sa.UniqueConstraint('name', name=op.f('uq_organizations_name'))
    )
    op.create_table('tokens',
    sa.Column('id', sa.String(length=40), nullable=False),
    sa.Column('name', sa.String(length=255), nullable=False),
    sa.Column('hash', sa.String(length=64), nullable=False),
    sa.Column('organization_id', sa.String(length=40), nullable=False),
    sa.Column('admin', sa.Boolean(), nullable=False),
    sa.Column('expires_at', sa.BigInteger(), nullable=True),
    sa.Column('created_at', sa.BigInteger(), nullable=False),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_tokens')),
    sa.UniqueConstraint('hash', name=op.f('uq_tokens_hash'))
    )
    op.create_table('templates',
    sa.Column('id', sa.String(length=40), nullable=False),
    sa.Column('organization_id', sa.String(length=40), nullable=False),
    sa.Column('name', sa.String(length=255), nullable=False),
    sa.Column('description', sa.Text(), nullable=False),
    sa.Column('version', sa.String(length=40), nullable=False),
    sa.Column('tcl', sa.Text(), nullable=False),
    sa.Column('created_at', sa.BigInteger(), nullable=False),
    sa.ForeignKeyConstraint(['organization_id'], ['organizations.id'], name=op.f('fk_templates_organization_id'), ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_templates')),
    sa.UniqueConstraint('organization_id', 'name', name=op.f('uq_templates_organization_id_name'))
    )
    op.create_table('workspaces',
    sa.Column('id', sa.String(length=40), nullable=False),
    sa.Column('organization_id', sa.String(length=40), nullable=False),
    sa.Column('name', sa.String(length=255), nullable=False),
    sa.Column('description', sa.Text(), nullable=False),
    sa.Column('engine', sa.String(length=20), nullable=False),
    sa.Column('engine_version', sa.String(length=255), nullable=False),
    sa.Column('folder', sa.Text(), nullable=False),
    sa.Column('source', sa.Text(), nullable=False),
    sa.Column('branch', sa.Text(), nullable=False),
    sa.Column('execution_mode', sa.String(length=20), nullable=False),
    sa.Column('default_template', sa.String(length=255), nullable=False),
    sa.Column('auto_apply', sa.Boolean(), nullable=True),
    sa.Column('locked', sa.Boolean(), nullable=False),
    sa.Column('lock_reason', sa.Text(), nullable=False),
    sa.Column('locked_by', sa.String(length=255), nullable=False),
    sa.Column('taken_by', sa.String(length=40), nullable=False),
    sa.Column('created_at', sa.BigInteger(), nullable=False),
    sa.Column('updated_at', sa.BigInteger(), nullable=False),
    sa.ForeignKeyConstraint(['organization_id'], ['organizations.id'], name=op.f('fk_workspaces_organization_id'), ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_workspaces')),
    sa.UniqueConstraint('organization_id', 'name', name=op.f('uq_workspaces_organization_id_name'))
    )
    op.create_table('configuration_versions',
    sa.Column('id', sa.String(length=40), nullable=False),
    sa.Column('workspace_id', sa.String(length=40), nullable=False),
    sa.Column('status', sa.String(length=20), nullable=False),
    sa.Column('sha256', sa.String(length=64), nullable=False),
    sa.Column('size', sa.BigInteger(), nullable=False),
    sa.Column('created_at', sa.BigInteger(), nullable=False),
    sa.ForeignKeyConstraint(['workspace_id'], ['workspaces.id'], name=op.f('fk_configuration_versions_workspace_id'), ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_configuration_versions'))
    )
    op.create_index(op.f('ix_configuration_versions_workspace_id_status_id'), 'configuration_versions', ['workspace_id', 'status', 'id'], unique=False)
    op.create_table('runs',
    sa.Column('id', sa.String(length=40), nullable=False),
    sa.Column('number', sa.BigInteger(), nullable=False),
    sa.Column('organization_id', sa.String(length=40), nullable=False),
    sa.Column('workspace_id', sa.String(length=40), nullable=False),
    sa.Column('configuration_id', sa.String(length=40), nullable=False),
    sa.Column('template_name', sa.String(length=255), nullable=False),
    sa.Column('status', sa.String(length=40), nullable=False),
    sa.Column('comments', sa.Text(), nullable=False),
    sa.Column('plan_only', sa.Boolean(), nullable=False),
    sa.Column('is_destroy', sa.Boolean(), nullable=False),
    sa.Column('refresh', sa.Boolean(), nullable=False),
    sa.Column('refresh_only', sa.Boolean(), nullable=False),
    sa.Column('auto_apply', sa.Boolean(), nullable=False),
    sa.Column('target_addrs', sa.Text(), nullable=False),
    sa.Column('replace_addrs', sa.Text(), nullable=False),
    sa.Column('has_changes', sa.Boolean(), nullable=True),
    sa.Column('additions', sa.Integer(), nullable=True),
    sa.Column('changes', sa.Integer(), nullable=True),
    sa.Column('destructions', sa.Integer(), nullable=True),
    sa.Column('cancel', sa.String(length=40), nullable=True),
    sa.Column('failure_reason', sa.String(length=40), nullable=True),
    sa.Column('message', sa.Text(), nullable=False),
    sa.Column('engine', sa.String(length=20), nullable=False),
    sa.Column('engine_version', sa.String(length=255), nullable=False),
    sa.Column('folder', sa.Text(), nullable=False),
    sa.Column('created_by', sa.String(length=255), nullable=False),
    sa.Column('via', sa.String(length=40), nullable=False),
    sa.Column('request_id', sa.String(length=64), nullable=True),
    sa.Column('created_at', sa.BigInteger(), nullable=False),
    sa.Column('updated_at', sa.BigInteger(), nullable=False),
    sa.Column('finished_at', sa.BigInteger(), nullable=True),
    sa.ForeignKeyConstraint(['workspace_id'], ['workspaces.id'], name=op.f('fk_runs_workspace_id'), ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_runs')),
    sa.UniqueConstraint('number', name=op.f('uq_runs_number')),
    sa.UniqueConstraint('workspace_id', 'request_id', name=op.f('uq_runs_workspace_id_request_id'))
    )
    op.create_index(op.f('ix_runs_organization_id_id'), 'runs', ['organization_id', 'id'], unique=False)
    op.create_index('ix_runs_unfinished', 'runs', ['workspace_id'], unique=False, sqlite_where=sa.text("status NOT IN ('applied', 'canceled', 'discarded', 'errored', 'force_canceled', 'planned_and_finished')"), postgresql_where=sa.text("status NOT IN ('applied', 'canceled', 'discarded', 'errored', 'force_canceled', 'planned_and_finished')"))
    op.create_index(op.f('ix_runs_workspace_id_id'), 'runs', ['workspace_id', 'id'], unique=False)
    op.create_index('uq_runs_one_takes_a_workspace', 'runs', ['workspace_id'], unique=True, sqlite_where=sa.text("status NOT IN ('applied', 'canceled', 'discarded', 'errored', 'force_canceled', 'planned_and_finished') AND status <> 'pending' AND NOT plan_only"), postgresql_where=sa.text("status NOT IN ('applied', 'canceled', 'discarded', 'errored', 'force_canceled', 'planned_and_finished') AND status <> 'pending' AND NOT plan_only"))
    op.create_table('state_versions',
    sa.Column('id', sa.String(length=40), nullable=False),
    sa.Column('workspace_id', sa.String(length=40), nullable=False),
    sa.Column('run_id', sa.String(length=40), nullable=False),
    sa.Column('step_id', sa.String(length=40), nullable=False),
    sa.Column('attempt', sa.Integer(), nullable=False),
    sa.Column('serial', sa.BigInteger(), nullable=False),
    sa.Column('lineage', sa.String(length=255), nullable=False),
    sa.Column('md5', sa.String(length=32), nullable=False),
    sa.Column('size', sa.BigInteger(), nullable=False),
    sa.Column('final', sa.Boolean(), nullable=False),
    sa.Column('created_at', sa.BigInteger(), nullable=False),
    sa.ForeignKeyConstraint(['workspace_id'], ['workspaces.id'], name=op.f('fk_state_versions_workspace_id'), ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_state_versions')),
    sa.UniqueConstraint('workspace_id', 'serial', name=op.f('uq_state_versions_workspace_id_serial'))
    )
    op.create_table('variables',
    sa.Column('id', sa.String(length=40), nullable=False),
    sa.Column('workspace_id', sa.String(length=40), nullable=False),
    sa.Column('key', sa.String(length=255), nullable=False),
    sa.Column('value', sa.LargeBinary(), nullable=False),
    sa.Column('category', sa.String(length=40), nullable=False),
    sa.Column('sensitive', sa.Boolean(), nullable=False),
    sa.Column('hcl', sa.Boolean(), nullable=False),
    sa.Column('description', sa.Text(), nullable=False),
    sa.Column('created_at', sa.BigInteger(), nullable=False),
    sa.ForeignKeyConstraint(['workspace_id'], ['workspaces.id'], name=op.f('fk_variables_workspace_id'), ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_variables')),
    sa.UniqueConstraint('workspace_id', 'category', 'key', name=op.f('uq_variables_workspace_id_category_key'))
    )
    op.create_table('events',
    sa.Column('id', sa.BigInteger().with_variant(sa.Integer(), 'sqlite'), autoincrement=True, nullable=False),
    sa.Column('run_id', sa.String(length=40), nullable=False),
    sa.Column('step_id', sa.String(length=40), nullable=False),
    sa.Column('kind', sa.String(length=80), nullable=False),
    sa.Column('data', sa.Text(), nullable=False),
    sa.Column('at', sa.BigInteger(), nullable=False),
    sa.ForeignKeyConstraint(['run_id'], ['runs.id'], name=op.f('fk_events_run_id'), ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_events'))
    )
    op.create_index(op.f('ix_events_run_id'), 'events', ['run_id'], unique=False)
    op.create_table('steps',
    sa.Column('id', sa.String(length=40), nullable=False),
    sa.Column('run_id', sa.String(length=40), nullable=False),
    sa.Column('number', sa.Integer(), nullable=False),
    sa.Column('kind', sa.String(length=40), nullable=False),
    sa.Column('name', sa.String(length=255), nullable=False),
    sa.Column('status', sa.String(length=40), nullable=False),
    sa.Column('attempt', sa.Integer(), nullable=False),
    sa.Column('failure_reason', sa.String(length=40), nullable=True),
    sa.Column('message', sa.Text(), nullable=False),
    sa.Column('report', sa.Text(), nullable=True),
    sa.Column('queued_at', sa.BigInteger(), nullable=True),
    sa.Column('started_at', sa.BigInteger(), nullable=True),
    sa.Column('finished_at', sa.BigInteger(), nullable=True),
    sa.CheckConstraint("status <> 'errored' OR failure_reason IS NOT NULL", name=op.f('ck_steps_errored_has_a_reason')),
    sa.ForeignKeyConstraint(['run_id'], ['runs.id'], name=op.f('fk_steps_run_id'), ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_steps')),
    sa.UniqueConstraint('run_id', 'number', name=op.f('uq_steps_run_id_number'))
    )
    op.create_index('ix_steps_queued', 'steps', ['run_id'], unique=False, sqlite_where=sa.text("status = 'queued'"), postgresql_where=sa.text("status = 'queued'"))
    op.create_index('ix_steps_under_way', 'steps', ['run_id'], unique=False, sqlite_where=sa.text("status IN ('launching', 'running')"), postgresql_where=sa.text("status IN ('launching', 'running')"))
    op.create_table('attempts',
    sa.Column('name', sa.String(length=63), nullable=False),
    sa.Column('step_id', sa.String(length=40), nullable=False),
    sa.Column('run_id', sa.String(length=40), nullable=False),
    sa.Column('workspace_id', sa.String(length=40), nullable=False),
    sa.Column('number', sa.Integer(), nullable=False),
    sa.Column('launcher', sa.String(length=20), nullable=False),
    sa.Column('state', sa.String(length=40), nullable=False),
    sa.Column('claim_hash', sa.String(length=64), nullable=False),
    sa.Column('nonce_hash', sa.String(length=64), nullable=False),
    sa.Column('token_hash', sa.String(length=64), nullable=False),
    sa.Column('carrier_uid', sa.String(length=80), nullable=False),
    sa.Column('cancel', sa.String(length=40), nullable=True),
    sa.Column('cancel_at', sa.BigInteger(), nullable=True),
    sa.Column('warnings', sa.Text(), nullable=False),
    sa.Column('created_at', sa.BigInteger(), nullable=False),
    sa.Column('claimed_at', sa.BigInteger(), nullable=True),
    sa.Column('heartbeat_at', sa.BigInteger(), nullable=True),
    sa.Column('settled_at', sa.BigInteger(), nullable=True),
    sa.ForeignKeyConstraint(['step_id'], ['steps.id'], name=op.f('fk_attempts_step_id'), ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('name', name=op.f('pk_attempts')),
    sa.UniqueConstraint('step_id', 'number', name=op.f('uq_attempts_step_id_number'))
    )
    op.create_index(op.f('ix_attempts_workspace_id_state'), 'attempts', ['workspace_id', 'state'], unique=False)


def downgrade() -> None:
    op.drop_index(op.f('ix_attempts_workspace_id_state'), table_name='attempts')
    op.drop_table('attempts')
    op.drop_index('ix_steps_under_way', table_name='steps', sqlite_where=sa.text("status IN ('launching', 'running')"), postgresql_where=sa.text("status IN ('launching', 'running')"))
    op.drop_index('ix_steps_queued', table_name='steps', sqlite_where=sa.text("status = 'queued'"), postgresql_where=sa.text("status = 'queued'"))
    op.drop_table('steps')
    op.drop_index(op.f('ix_events_run_id'), table_name='events')
    op.drop_table('events')
    op.drop_table('variables')
    op.drop_table('state_versions')
    op.drop_index('uq_runs_one_takes_a_workspace', table_name='runs', sqlite_where=sa.text("status NOT IN ('applied', 'canceled', 'discarded', 'errored', 'force_canceled', 'planned_and_finished') AND status <> 'pending' AND NOT plan_only"), postgresql_where=sa.text("status NOT IN ('applied', 'canceled', 'discarded', 'errored', 'force_canceled', 'planned_and_finished') AND status <> 'pending' AND NOT plan_only"))
    op.drop_index(op.f('ix_runs_workspace_id_id'), table_name='runs')
    op.drop_index('ix_runs_unfinished', table_name='runs', sqlite_where=sa.text("status NOT IN ('applied', 'canceled', 'discarded', 'errored', 'force_canceled', 'planned_and_finished')"), postgresql_where=sa.text("status NOT IN ('applied', 'canceled', 'discarded', 'errored', 'force_canceled', 'planned_and_finished')"))
    op.drop_index(op.f('ix_runs_organization_id_id'), table_name='runs')
    op.drop_table('runs')
    op.drop_index(op.f('ix_configuration_versions_workspace_id_status_id'), table_name='configuration_versions')
    op.drop_table('configuration_versions')
    op.drop_table('workspaces')
    op.drop_table('templates')
    op.drop_table('tokens')
    op.drop_table('organizations')
    op.drop_table('counters')
