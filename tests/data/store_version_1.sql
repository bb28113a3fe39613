BEGIN TRANSACTION;
CREATE TABLE catalogue_changes (
	namespace VARCHAR(63) NOT NULL, 
	version INTEGER NOT NULL, 
	kind VARCHAR(16) NOT NULL, 
	item_id VARCHAR(256) NOT NULL, 
	created_at DATETIME NOT NULL, 
	CONSTRAINT pk_catalogue_changes PRIMARY KEY (namespace, version), 
	CONSTRAINT uq_catalogue_changes_namespace_item_id_kind UNIQUE (namespace, item_id, kind)
);
INSERT INTO "catalogue_changes" VALUES('default',1,'added','mug','2026-11-21 12:18:28.832588');
INSERT INTO "catalogue_changes" VALUES('default',2,'added','lamp/ä','2026-11-21 12:18:28.872501');
INSERT INTO "catalogue_changes" VALUES('default',3,'retired','of the bundle','2026-11-21 12:18:28.901412');
CREATE TABLE clairo_schema_version (
	version INTEGER NOT NULL, 
	CONSTRAINT pk_clairo_schema_version PRIMARY KEY (version)
);
INSERT INTO "clairo_schema_version" VALUES(1);
CREATE TABLE item_features (
	namespace VARCHAR(63) NOT NULL, 
	bundle_id VARCHAR(256) NOT NULL, 
	item_id VARCHAR(256) NOT NULL, 
	feature_set VARCHAR(1024) NOT NULL, 
	item_embedding BLOB NOT NULL, 
	missing_modalities JSON NOT NULL, 
	CONSTRAINT pk_item_features PRIMARY KEY (namespace, bundle_id, item_id), 
	CONSTRAINT uq_item_features_namespace_bundle_id_feature_set UNIQUE (namespace, bundle_id, feature_set), 
	CONSTRAINT fk_item_features_namespace_item_id FOREIGN KEY(namespace, item_id) REFERENCES items (namespace, item_id)
);
INSERT INTO "item_features" VALUES('default','bundle-a','mug','1,2,0',X'0000003F0000A0BF','["image"]');
INSERT INTO "item_features" VALUES('default','bundle-a','lamp/ä','1,2,1',X'0000003F0000A0BF','[]');
CREATE TABLE items (
	namespace VARCHAR(63) NOT NULL, 
	item_id VARCHAR(256) NOT NULL, 
	texts JSON NOT NULL, 
	attributes JSON NOT NULL, 
	picture BLOB, 
	picture_digest VARCHAR(64), 
	content_digest VARCHAR(64) NOT NULL, 
	created_at DATETIME NOT NULL, 
	CONSTRAINT pk_items PRIMARY KEY (namespace, item_id)
);
INSERT INTO "items" VALUES('default','mug','[["title", "Blue mug"], ["description", "Holds tea"]]','{"brand": "Fjord"}',NULL,NULL,'9b93445c9b6a7300701e7ba28f8968f48acdf0e2f8bfb46735ddb2d0842cbc91','2026-11-21 12:18:28.821769');
INSERT INTO "items" VALUES('default','lamp/ä','[["title", "Lamp"]]','{}',X'89504E472070696374757265','61578ad7d8afde50f365251304f0c5e711cfb3f18d4fc2f620f1969bac827f2f','154fe2d93a45cb4d63ddc5f8983052bd487d00278e98f2f1047da917e5c875fa','2026-11-21 12:18:28.849515');
COMMIT;
